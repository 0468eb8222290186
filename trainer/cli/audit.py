"""``sightpost-train audit``: what is wrong with a set of pictures, before a model is trained on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import DataError

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands
    from trainer.audit import Audit

_MARKS = {"error": "[red]✗ error[/red]", "warning": "[yellow]! warning[/yellow]", "info": "[dim]· info[/dim]"}
_EXAMPLES = 3


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "audit",
        help="look for problems in a set of pictures",
        description="Decode every picture once and say what would spoil training, and what to do about it.",
        epilog="example: sightpost-train audit pictures/gate",
    )
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="folder of class folders, or a CSV file: path,label[,split]"
    )
    parser.add_argument("--multilabel", action="store_true", help="a picture that lies in two class folders shows both")
    parser.add_argument("--strict", action="store_true", help="fail on warnings, too")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan, judge, print; 65 if there are errors."""
    from trainer.audit import audit
    from trainer.data import look
    from trainer.progress import Steps
    from trainer.sources import list_pictures

    source = list_pictures(arguments.data)
    with Steps().step("look at the pictures", len(source.entries)) as step:
        data = look(source, arguments.data, multilabel=arguments.multilabel, on_file=step.advance)
        step.outcome = f"{len(data.samples)} pictures, {len(data.labels)} classes"
    found = audit(data)
    if arguments.json:
        print(json.dumps(found.summary(), ensure_ascii=False))
    else:
        _print(found)
    has_failed = found.count("error") or (arguments.strict and found.count("warning"))
    return DataError.exit_code if has_failed else 0


def _print(found: Audit) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    classes = Table(box=None, pad_edge=False)
    classes.add_column("class", overflow="fold")
    classes.add_column("pictures", justify="right")
    for label, count in found.counts.items():
        classes.add_row(escape(label), str(count))
    console.print(classes)
    if found.groups < found.pictures:
        console.print(
            f"\n{found.pictures} pictures in {found.groups} groups that the split keeps whole: "
            "copies, look-alikes, blocks of a recording"
        )
    findings = Table(box=None, pad_edge=False, padding=(1, 2, 0, 0), show_header=False)
    findings.add_column(no_wrap=True)
    findings.add_column(overflow="fold")
    for finding in found.findings:
        examples = [f"[dim]{escape(line)}[/dim]" for line in finding.examples[:_EXAMPLES]]
        more = [f"[dim]… and {rest} more[/dim]"] if (rest := len(finding.examples) - _EXAMPLES) > 0 else []
        text = [f"[bold]{escape(finding.message)}[/bold]", *examples, *more, f"→ {escape(finding.advice)}"]
        findings.add_row(_MARKS[finding.severity], "\n".join(text))
    console.print(findings)
    console.print(f"\n{_verdict(found)}")


def _verdict(found: Audit) -> str:
    errors, warnings = found.count("error"), found.count("warning")
    if errors:
        return f"[red]Not ready to train:[/red] {errors} {'errors' if errors > 1 else 'error'}, {warnings} warnings."
    if warnings:
        return f"[yellow]Ready to train, with {warnings} {'warnings' if warnings > 1 else 'warning'}.[/yellow]"
    return "[green]Ready to train.[/green]"
