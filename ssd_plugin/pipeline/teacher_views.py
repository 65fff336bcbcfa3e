"""What the teacher is shown beside the task, as one user's turn. Nothing of a hidden test enters: a view is made of the task's
statement, its reference, another answer of the model's own, and feedback that quotes public cases alone."""

from dataclasses import dataclass

from ssd_plugin.pipeline.samples_file import user_text
from ssd_plugin.sampling.prompting import PromptEncoder
from ssd_plugin.tasks.schema import Task

DEMONSTRATION = """{task}

This is an example of a response to the question:

```python
{reference}
```

Now answer with a response of your own, in your own words, thinking included."""

ADVICE = """{task}

{advice}

Correctly solve the original question."""
SOLUTION = "Correct solution:\n\n```python\n{solution}\n```"
FEEDBACK = "Feedback on your earlier, unsuccessful attempt:\n\n{feedback}"


def demonstration_text(task: Task) -> str:
    """The task with its reference as an example, after arXiv:2601.19897."""
    return _filled(DEMONSTRATION, task=user_text(task), reference=task.reference.strip())


def advice_text(task: Task, *, solution: str = "", feedback: str = "") -> str:
    """The task with a correct solution, or with feedback on an attempt that is itself left out, after arXiv:2601.20802."""
    parts = [_filled(SOLUTION, solution=solution.strip())] * bool(solution.strip())
    parts += [_filled(FEEDBACK, feedback=feedback.strip())] * bool(feedback.strip())
    return _filled(ADVICE, task=user_text(task), advice="\n\n".join(parts))


def _filled(template: str, **parts: str) -> str:
    """The template with each {name} replaced; braces in the parts are left alone."""
    text = ""
    for piece in template.split("{"):
        name, closing, rest = piece.partition("}")
        text += parts[name] + rest if closing and name in parts else piece
    return text


@dataclass(frozen=True, kw_only=True)
class TeacherViews:
    """Encodes views in the model's own chat template. `template`: the run's own around every statement; `longest`: tokens of
    view and completion together."""

    encoder: PromptEncoder
    template: str
    longest: int

    def encode(self, text: str, completion_tokens: int) -> tuple[int, ...]:
        """The token ids of a view; empty where it does not fit: a view is never cut, since what is cut off its beginning is the
        question itself. Empty too where the text spells a control token: what follows would not be the user's any more."""
        if self.encoder.spells_control(text):
            return ()
        ids = self.encoder.encode(self.template.replace("{prompt}", text))
        return ids if len(ids) + completion_tokens <= self.longest else ()
