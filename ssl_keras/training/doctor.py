"""The doctor: names the troubles of a run, once, in plain words."""

from collections.abc import Callable

import keras
from absl import logging

from ssl_keras.errors import UserError
from ssl_keras.training.signs import SIGNS, Case, Sign


class CollapsedError(UserError):
    """The run has collapsed, and --stop_on_collapse asked to end it then."""


class Doctor(keras.callbacks.Callback):
    """Names each kind of trouble once, in the log and in `remarks`; ends the run at a collapse where asked.

    All is found from the history alone, so a resumed run knows what was said before. Call it after the history has the
    epoch's line.

    Args:
        case: the run.
        history: the lines of `metrics.jsonl`, which another callback fills.
        say: takes each new remark, such as TensorBoard's text.
        stop: whether a collapse ends the run.
        healing: epochs at the start, such as the warm-up, that are not judged.
    """

    def __init__(
        self,
        case: Case,
        history: list[dict],
        say: Callable[[str], None] = lambda remark: None,
        stop: bool = False,
        healing: int = 1,
    ):
        super().__init__()
        self.case, self.history, self.say, self.stop, self.healing = case, history, say, stop, healing
        self.remarks: dict[str, str] = {}
        for end in range(1, len(history) + 1):
            self.remarks |= self._new(history[:end])

    def on_epoch_end(self, epoch, logs=None):
        new = self._new(self.history)
        for remark in new.values():
            logging.warning("%s", remark)
            self.say(remark)
        self.remarks |= new
        for sign in SIGNS:
            if self.stop and sign.collapse and shows(sign, self.case, self.history, self.healing):
                raise CollapsedError(f"stopped, as --stop_on_collapse asks: {self.remarks[sign.name]}")

    def _new(self, history: list[dict]) -> dict[str, str]:
        """What is to be said after the newest epoch, by the name of the sign."""
        log, found = history[-1], {}
        for sign in SIGNS:
            if sign.name not in self.remarks and shows(sign, self.case, history, self.healing):
                words = f"{sign.name.upper()} (epoch {log['epoch']}): {sign.words(self.case, log)}."
                found[sign.name] = f"{words} {sign.remedy}"
        return found


def shows(sign: Sign, case: Case, history: list[dict], healing: int) -> bool:
    """Whether a sign shows at the end of a history, as often running as it must."""
    ends = range(len(history), len(history) - sign.repeats, -1)
    return len(history) >= healing + sign.repeats and all(sign.seen(case, history[:end]) for end in ends)
