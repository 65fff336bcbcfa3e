"""What `ssd` answers when something goes wrong that no command foresaw: never the status of a verdict."""

from pathlib import Path

import pytest

from ssd_plugin.cli import main as cli


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "locked"), "ssd: [Errno 13] Permission denied: 'locked'\n"),
        (ZeroDivisionError("the defect's own text"), "ssd: a defect of ssd itself"),
    ],
)
def test_what_no_command_foresaw_is_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor"])
    assert end.value.code == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["score", "--tasks", "t", "--samples", "s"], ["gate", "--ledger", "."]])
def test_a_directory_is_no_file_to_write(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--out", "."])
    assert end.value.code == 3
    assert "is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["sample"], ["train", "--nodes", "2"], ["run", "ssd_smollm2_135m"]])
def test_damaged_settings_of_a_run_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (tmp_path / "config.json").write_text('{"recipe": "ssd_smollm2_135m"}')
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--run-dir", str(tmp_path)])
    assert end.value.code == 3
    assert f"{tmp_path}/config.json: model is missing; restore the file" in capsys.readouterr().err


def test_an_input_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["score", "--tasks", "t.jsonl", "--samples", "s.jsonl", "--out", "./s.jsonl"])
    assert end.value.code == 3
    assert "one of the inputs" in capsys.readouterr().err
