"""Tests of untrusted text: it becomes one short quoted line, and honest text stays as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackpools.fill.contract.sanitise import MAX_TITLE_CHARS, UNSEEN, quote_as_data, sanitise_text

HOSTILE = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=300)


@given(HOSTILE)
def test_text_has_no_hidden_character_no_line_end_and_at_most_the_limit(text):
    made = sanitise_text(text)
    assert len(made) <= MAX_TITLE_CHARS
    assert not {unicodedata.category(one) for one in made} & UNSEEN
    assert len(made.splitlines()) <= 1
    assert sanitise_text(made) == made


@given(HOSTILE)
def test_a_quoted_text_ends_where_it_says(text):
    made = quote_as_data(text)
    assert made == "?" or json.loads(made) == sanitise_text(text)
    assert made.encode()  # no lone surrogate


@pytest.mark.parametrize(
    "title", ["Björk – Jóga (Live)", "東京", "مرحبا", "नमस्ते", "Sigur Rós: ()", "99 Luftballons", "🎵 Song"]
)
def test_honest_titles_are_unchanged(title):
    assert sanitise_text(title) == title


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
def test_hidden_characters_are_removed(text, seen):
    assert sanitise_text(text) == seen
