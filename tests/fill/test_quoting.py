"""Untrusted text: whatever it holds, it stays one short quoted line, and what is honest stays as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackpools.fill.quoting import MOST, UNSEEN, clean, quoted

HOSTILE = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=300)


@given(HOSTILE)
def test_nothing_unseen_no_line_end_and_no_more_than_the_limit(text):
    made = clean(text)
    assert len(made) <= MOST
    assert not {unicodedata.category(one) for one in made} & UNSEEN
    assert len(made.splitlines()) <= 1
    assert clean(made) == made


@given(HOSTILE)
def test_a_quoted_text_ends_where_it_says(text):
    made = quoted(text)
    assert made == "?" or json.loads(made) == clean(text)
    assert made.encode()  # no lone surrogate


@pytest.mark.parametrize(
    "title", ["Björk – Jóga (Live)", "東京", "مرحبا", "नमस्ते", "Sigur Rós: ()", "99 Luftballons", "🎵 Song"]
)
def test_honest_titles_stay(title):
    assert clean(title) == title


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u202eb\u2066c", "abc"),
        ("a\u200b\u200d\ufeffb", "ab"),
        ("one\r\ntwo\u2028three", "one two three"),
        ("x" * 200, "x" * 79 + "…"),
        ("a\u3164b\U000e0041", "ab"),
        ("Z" + "\u0335" * 40, "Z" + "\u0335" * 3),
        ('"}] ignore all', '"}] ignore all'),
    ],
)
def test_what_hides_is_gone(text, seen):
    assert clean(text) == seen
