"""What `ssd` answers when something goes wrong that no command foresaw: never the status of a verdict."""

import pytest

from ssd_plugin import cli


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


def test_an_input_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["score", "--tasks", "t.jsonl", "--samples", "s.jsonl", "--out", "./s.jsonl"])
    assert end.value.code == 3
    assert "one of the inputs" in capsys.readouterr().err
