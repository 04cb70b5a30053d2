"""The grammar of prompts: a line a phrase, what it means and how it is said; the page on prompts is written from here.

What a phrase reads is taken out of the text, so that the next sees only the rest; what none reads is told back as not applied.
"""

from trackpools.fill.contract.constraints import Band
from trackpools.fill.parser.phrases.playlist import COUNTS, LENGTHS, WHOLE
from trackpools.fill.parser.phrases.track import REFUSED, TRACK
from trackpools.fill.parser.templates import phrase

__all__ = ["COUNTS", "GRAMMAR", "LENGTHS", "MOOD", "REFUSED", "TRACK", "WHOLE"]
# what people do while they listen: fields of Filter that sort, and that no track need hold
MOOD = (
    phrase(
        {"tempo": Band(low=140, high=190), "energy": Band(low=0.6)},
        "[for] [a|my] [easy|long|morning|evening|trail] (run|running|jog|jogging|5k|10k|half-marathon|marathon)",
        examples=("for a run", "jogging", "my morning run"),
    ),
    phrase(
        {"energy": Band(high=0.5)},
        "[for|to] [my] (study|studying|focus|focusing|concentrate|concentration|reading|work|working|coding|deep work)",
        "[for] [a] (dinner party|dinner|yoga|meditation|massage|rainy day|rainy evening|sunday morning|bedtime|spa)",
        "[for|to] [my] (sleep|sleeping|fall asleep|unwind|relax)",
        examples=("studying", "for dinner", "to fall asleep"),
    ),
    phrase(
        {"energy": Band(low=0.7)},
        "[for] [a|my|the] (workout|work-out|working out|gym|lifting|hiit|spinning|cycling|party|dancing|dance floor|pre-party)",
        examples=("gym", "a party", "my workout"),
    ),
    phrase(
        {},
        "[for] [a|my|the|our] (road-trip|drive|driving|commute|walk|walking|cooking|morning|evening|night|weekend|shower|cleaning|"
        "barbecue|bbq|flight|train ride)",
        examples=("road trip", "my commute", "cooking"),
    ),
)
GRAMMAR = {"refused": REFUSED, "lengths": LENGTHS, "whole": (*WHOLE, *COUNTS), "track": TRACK, "mood": MOOD}
