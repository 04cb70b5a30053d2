"""Tests of the answer of `trackpools doctor`."""

from trackpools.shell.commands import doctor_checks
from trackpools.shell.commands.doctor import doctor
from trackpools.shell.commands.doctor_checks import DoctorCheck


def test_the_table_shows_what_to_type_for_failed_checks_only(config, monkeypatch):
    found = [
        DoctorCheck("Java", False, "none", "apt-get install java"),
        DoctorCheck("Python", True, "3.11", "not shown"),
    ]
    monkeypatch.setattr(doctor_checks, "checks", lambda _: found)
    table, said = doctor(config()).lines
    assert table.rows == [("no", "Java", "none", "apt-get install java"), ("ok", "Python", "3.11", "")]
    assert said == "failed checks (1): Java"
