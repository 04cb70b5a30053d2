"""Tests of what the terminal shows of an answer."""

import json

import pytest

from trackpools.errors import InputError
from trackpools.shell.command import CommandResult, Options, TextTable, printable
from trackpools.shell.console import perform, report_progress

UNTRUSTED = "[bold red]Song[/] [link=x]"


def answer(_):
    table = TextTable(("title", "mark"), [(UNTRUSTED, "no")], title=UNTRUSTED, caption=UNTRUSTED)
    return CommandResult("r1", lines=[table, UNTRUSTED], more={"title": UNTRUSTED})


def test_no_text_of_a_table_is_read_as_markup(capsys):
    assert perform("show", Options(), answer) == 0
    assert capsys.readouterr().out.count(UNTRUSTED) == 4


def test_a_table_fits_the_columns_of_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table = TextTable(("a", "b"), [("long " * 40, "longer" * 40)], styles={"no": "red"})
    perform("show", Options(), lambda _: CommandResult(lines=[table]))
    assert max(map(len, capsys.readouterr().out.splitlines())) == 80


def test_json_prints_one_object_and_no_table(capsys):
    assert perform("show", Options(json=True), answer) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["release_id"], said["title"]) == (True, "r1", UNTRUSTED)


def test_an_error_lists_its_problems_on_standard_error(capsys):
    def work(_):
        raise InputError("the file is refused", ["row 1: no id", "row 2: no time"])

    assert perform("import", Options(), work) == InputError("").exit_code
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.strip() for line in told.err.splitlines()][-2:] == ["- row 1: no id", "- row 2: no time"]


@pytest.mark.parametrize(("quiet", "shown"), [(False, ["train", "pools"]), (True, [])])
def test_progress_is_one_line_for_each_step_where_there_is_no_terminal(capsys, quiet, shown):
    with report_progress(2, quiet=quiet) as progress:
        progress("train")
        progress("pools")
    assert capsys.readouterr().err.split() == shown


def test_control_characters_are_shown_as_dots():
    assert printable("a\x1b[31mb\n" + "c" * 200, 10) == "a·[31mb·cc"
