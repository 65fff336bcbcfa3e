"""What all recipes of the paper share: where the prompts come from and which tasks judge the result."""

from ssd_plugin.config import DataConfig

SYSTEM_MESSAGE = "You are a helpful assistant."  # the paper says "a system message" without its text

# Paper: rStar-Coder's seed problems, exact de-duplication on the whitespace-normalised statement, ~10,168 problems.
# De-duplication alone leaves more than 30,000; with the rows that passed their tests it is 10,167 (apple/ml-ssd, issue 7).
PROMPTS = DataConfig(
    source="hub:microsoft/rStar-Coder",
    revision="9c523c22b51de15b03b73e102e49d6d42e1cb353",
    config="seed_sft",
    split="train",
    columns="prompt=question,starter_code=starter_code",
    where="is_passed=true",
    deduplicate=True,
)

# The paper chose T_eval on LiveCodeBench v6 itself. We choose it on the v5 window and report v6 only.
DEVELOPMENT = DataConfig(source="livecodebench:v5")
HELD_OUT = DataConfig(source="livecodebench:v6")
