"""Progress of a job: a table in a notebook, lines on standard error elsewhere."""

import html
import sys
import time
from collections.abc import Callable
from typing import Any

#: The page of a notebook is drawn again at most this often, s.
_PAUSE = 0.25


class Progress:
    """Shows the events of a job to whoever looks on."""

    def __init__(self, show: Callable[[str], None] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._show_page = show or _page_of_notebook()
        self._now = now
        self._drawn_at: float | None = None
        self.slides = 0
        self.ended = 0
        self.cells = 0
        self.mm2 = 0.0
        self.at_work: dict[str, tuple[int, int]] = {}
        self.remarks: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes the next event."""
        line = self._take(event)
        if self._show_page:
            self._draw(is_last=event["event"] == "job_finished")
        elif line:
            print(line, file=sys.stderr, flush=True)

    def _take(self, event: dict[str, Any]) -> str | None:
        """Counts an event; gives the line that tells it, if it is worth one."""
        slide = event.get("slide", "")
        match event["event"]:
            case "job_started":
                self.slides = event["slides"]
                return f"{_counted(self.slides, 'slide')}, {event['model']} on {event['device']}"
            case "slide_started":
                self.at_work[slide] = (event["resumed"], event["windows"])
                again = f", {event['resumed']} of them done before" if event["resumed"] else ""
                return f"{slide}: {_counted(event['windows'], 'window')}{again}"
            case "windows":
                self.at_work[slide] = (event["done"] + event["failed"], event["windows"])
                return None
            case "slide_finished":
                self.cells += event["cells"]
                self.mm2 += event["analysed_mm2"]
                return self._end(slide, f"{event['outcome']}, {event['cells']:,} cells")
            case "slab_finished":
                return self._end(slide, f"part {event['slab']} done")
            case "slide_failed":
                return self._end(slide, f"failed: {event['reason']}", is_remark=True)
            case "slide_skipped":
                return self._end(slide, f"skipped: {event['reason']}")
            case "warning" | "note":
                text = f"{slide}: {event['message']}" if slide else event["message"]
                self.remarks.append(text)
                return text
            case "job_finished":
                self.at_work.clear()
                return f"{self.summary()} in {event['elapsed_secs']:.0f} s"
        return None

    def _end(self, slide: str, text: str, is_remark: bool = False) -> str:
        self.at_work.pop(slide, None)
        self.ended += 1
        line = f"[{self.ended}/{self.slides}] {slide}: {text}"
        if is_remark:
            self.remarks.append(f"{slide}: {text}")
        return line

    def summary(self) -> str:
        """What there is so far, in one line."""
        return f"{self.ended} of {_counted(self.slides, 'slide')}, {self.cells:,} cells, {self.mm2:.1f} mm²"

    def _draw(self, is_last: bool) -> None:
        now = self._now()
        if self._show_page and (is_last or self._drawn_at is None or now - self._drawn_at >= _PAUSE):
            self._drawn_at = now
            self._show_page(self.page())

    def page(self) -> str:
        """What there is so far, as HTML."""
        bars = [_bar(slide, done, windows) for slide, (done, windows) in self.at_work.items()]
        remarks = "".join(f"<li>{html.escape(text)}</li>" for text in self.remarks)
        listed = f"<details><summary>{_counted(len(self.remarks), 'remark')}</summary><ul>{remarks}</ul></details>"
        whole = f"<progress value='{self.ended}' max='{max(self.slides, 1)}'></progress>"
        return f"<div>{whole} {self.summary()}</div>{''.join(bars)}{listed if self.remarks else ''}"


def _bar(slide: str, done: int, windows: int) -> str:
    bar = f"<progress value='{done}' max='{max(windows, 1)}'></progress>"
    return f"<div>{bar} <code>{html.escape(slide)}</code> {done} of {_counted(windows, 'window')}</div>"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _page_of_notebook() -> Callable[[str], None] | None:
    """A place in the output of the cell that runs, where this is a notebook."""
    # A notebook has imported it; nothing else needs it.
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display

    place = display(HTML(""), display_id=True)
    return lambda page: place.update(HTML(page))
