"""The verdict in words: how good it is, what it confuses, what to do next. Pure decisions over the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.report.judgement import agreement, calibration_error, claims, reliability, right_rows
from trainer.report.wording import interval, name, names, of_100, percent, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.report.content import ReportData
    from trainer.report.judgement import Judgement

_EXCELLENT, _GOOD, _FAIR = 0.95, 0.9, 0.75  # our rules of thumb for a lower bound, and for the share itself
_TOO_WIDE = 0.4  # of an interval: it may as well be good or bad
_FEW_PICTURES = 100
_FEW_OF_A_CLASS = 10
_WEAK_CLASS = 0.8
_SURE = 0.9
_LOOSE_SCORES = 0.1
_DRIFT = 0.02
_NAMED = 5
_MOST_ADVICE = 6


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, in a few words, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The top of the page.

    Attributes:
        grade: ``excellent``, ``good``, ``fair``, ``weak``, ``useless`` or ``unsure``, for the colour.
        grade_words: the same for people.
        headline: right in how many.
        meaning: what that is worth.
        confusions: what it confuses most, or ``""``.
        advice: what to do next, the most useful first.
    """

    grade: str
    grade_words: str
    headline: str
    meaning: str
    confusions: str
    advice: tuple[Advice, ...]


def reach_verdict(data: ReportData, judgement: Judgement) -> Verdict:
    """Say what the numbers mean."""
    grade, words = _grade(judgement)
    advice = tuple(_advice(data, judgement))[:_MOST_ADVICE] or (
        Advice("Try it on the device", "Nothing here asks for another round of training; the commands are below."),
    )
    return Verdict(
        grade, words, _headline(data, judgement), _meaning(data, judgement), _confused(data, judgement), advice
    )


def _grade(judgement: Judgement) -> tuple[str, str]:
    (low, high), share = judgement.right.interval, judgement.right.value
    if high - low > _TOO_WIDE:
        return "unsure", "Too few pictures to tell"
    if share <= judgement.baseline:
        return "useless", "No better than guessing"
    if low >= _EXCELLENT:
        return "excellent", "Excellent"
    if share >= _GOOD:
        return "good", "Good"
    if share >= _FAIR:
        return "fair", "Fair"
    return "weak", "Weak"


def _headline(data: ReportData, judgement: Judgement) -> str:
    right = judgement.right
    prefix = "All labels right" if data.card.kind == "multilabel" else "Right"
    if right.total == 1:
        return f"{prefix} in the one picture it was asked" if right.hits else "Wrong in the one picture it was asked"
    if right.hits == right.total:
        return f"{prefix} in all {right.total:,} pictures"
    if right.total < _FEW_PICTURES:
        return f"{prefix} in {right.hits} of {right.total} pictures"
    return f"{prefix} in {of_100(right.value)} of 100 pictures"


def _meaning(data: ReportData, judgement: Judgement) -> str:
    right = judgement.right
    low, high = right.interval
    told = right.total < _FEW_PICTURES or right.hits == right.total  # the headline has the counts already
    which = "The pictures" if told else f"{right.hits:,} of {right.total:,}; the pictures"
    origin = "were held out: it had not learnt from them" if data.held_out else f"are those in “{name(data.root.name)}”"
    more = "; more pictures narrow this" if right.total < _FEW_PICTURES else ""
    expected = f"{of_100(low)} to {of_100(high)} of 100 (95 % confidence{more})"
    sentences = [
        f"{which} {origin}.",
        f"For pictures like these, expect it to be right in {expected}.",
    ]
    if judgement.baseline > 0 and right.value < _EXCELLENT:
        sentences.append(f"Always giving the commonest answer would be right in {of_100(judgement.baseline)}.")
    return " ".join(sentences)


def _confused(data: ReportData, judgement: Judgement) -> str:
    labels = data.card.labels
    parts = []
    often = bool(judgement.confusions) and judgement.confusions[0].count > 1
    for each in [each for each in judgement.confusions if each.count > 1 or not often][:3]:
        what = f"“{name(labels[each.truth])}” for “{name(labels[each.said])}”"
        if data.card.kind == "multilabel":
            what = f"“{name(labels[each.said])}” said of pictures of “{name(labels[each.truth])}”"
        parts.append(f"{what} ({each.count} of {each.of})")
    if not parts:
        return ""
    if data.card.kind == "multilabel":
        return f"Said wrongly{' most often' if often else ''}: {'; '.join(parts)}."
    return f"{'Most often it takes' if often else 'It took'} {'; '.join(parts)}."


def _advice(data: ReportData, judgement: Judgement) -> Iterator[Advice]:
    yield from _about_findings(data)
    yield from _about_labels(data, judgement)
    yield from _about_classes(judgement)
    yield from _about_trust(data)
    if judgement.right.total < _FEW_PICTURES:
        yield Advice(
            "Judge it on more pictures",
            f"With {pictures(judgement.right.total)} the true figure is known only as {interval(judgement.right)}."
            " Put more into a folder per class and run sightpost-train evaluate.",
        )


def _about_findings(data: ReportData) -> Iterator[Advice]:
    for finding in data.findings:
        if finding.severity == "error":
            advice = finding.advice.rstrip(".")
            yield Advice(advice[:1].upper() + advice[1:] or "Look at what the audit found", finding.message)


def _about_labels(data: ReportData, judgement: Judgement) -> Iterator[Advice]:
    scores, right = claims(data.card, data.truth, data.answers.scores, data.answers.said)
    if data.card.kind != "multilabel":
        sure = int((~right & (scores >= _SURE)).sum())
        if sure:
            yield Advice(
                "Look at the worst mistakes below",
                f"In {pictures(sure)} it was wrong and yet sure (a score of {_SURE:.1f} or more). Often the picture"
                " lies in the wrong folder: move it, and train again.",
            )
    if judgement.confusions and judgement.confusions[0].count > 1:
        worst = judgement.confusions[0]
        one, other = (name(data.card.labels[index]) for index in (worst.truth, worst.said))
        if data.card.kind == "multilabel":
            yield Advice(
                f"Show it “{one}” without “{other}”",
                f"In {worst.of} pictures of “{one}” it saw “{other}” {worst.count} times where there was none. Add"
                " pictures of the one without the other, and see that no label is missing in your table.",
            )
            return
        yield Advice(
            f"Teach it “{one}” and “{other}” apart",
            f"{worst.count} of {worst.of} “{one}” were called “{other}”. Add pictures of both that show what differs,"
            " or join the two folders if the difference does not matter to you.",
        )


def _about_classes(judgement: Judgement) -> Iterator[Advice]:
    weak = sorted(
        (each for each in judgement.classes if each.found.total and each.found.value < _WEAK_CLASS),
        key=lambda each: each.found.value,
    )
    if weak:
        found = ", ".join(f"“{name(each.label)}” {percent(each.found.value)}" for each in weak[:4])
        yield Advice(
            f"Add pictures of {names([each.label for each in weak], at_most=3)}",
            f"Too few of them are found: {found}. Take them in the light, places and positions in which"
            " it misses them.",
        )
    few = [each.label for each in judgement.classes if 0 < each.found.total < _FEW_OF_A_CLASS]
    if few and judgement.right.total >= _FEW_PICTURES:  # else there is other advice
        yield Advice(
            f"Collect more pictures of {names(few, at_most=3)}",
            f"Fewer than {_FEW_OF_A_CLASS} of each were judged, so their rows in the table say little.",
        )
    if judgement.unseen:
        which = (
            names(judgement.unseen) if len(judgement.unseen) <= _NAMED else f"{len(judgement.unseen):,} of its labels"
        )
        yield Advice(
            "Judge the other classes as well", f"There were no pictures of {which}; nothing here is known about them."
        )


def _about_trust(data: ReportData) -> Iterator[Advice]:
    bins = reliability(*claims(data.card, data.truth, data.answers.scores, data.answers.said))
    error = calibration_error(bins)
    if error > _LOOSE_SCORES and sum(each.right.total for each in bins) >= _FEW_PICTURES:
        yield Advice(
            "Do not take the scores literally",
            f"They are off by {error:.2f} on average; choose min_score of a watch by the histogram below.",
        )
    if data.float_answers:
        rows = [right_rows(data.truth, answers.said) for answers in (data.float_answers, data.answers)]
        lost, fall = int(rows[0].sum() - rows[1].sum()), float(rows[0].mean() - rows[1].mean())
        if fall > _DRIFT and lost > 1:  # one picture is no evidence
            agreed = agreement(data.answers, data.float_answers)
            yield Advice(
                "Quantize more gently",
                f"int8 lost {fall * 100:.1f} points against float (same answer in {percent(agreed.value)}); raise"
                " quantize.calibration_pictures in the recipe.",
            )
