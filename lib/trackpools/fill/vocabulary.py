"""Words by which names in prompts are told apart from what is said of them, all as `words.plain` writes them."""

from trackpools.fill.denial import ADVERBS, DOUBTS, FOREIGN, REFUSALS
from trackpools.fill.words import plain

NOT = frozenset(map(plain, (*REFUSALS, "not")))
AGAINST = NOT | frozenset(map(plain, (*ADVERBS, *DOUBTS, *FOREIGN)))
DEGREES = frozenset(("too", "so", "that", "very", "really", "overly"))  # "not too heavy rock" is rock
PARTLY = frozenset(("only", "just", "all", "always", "every", "exclusively"))  # "not only jazz" is jazz too
LIST = frozenset(("or", "nor", "and", "any"))
LAST = frozenset(("or", "nor"))  # "no jazz, rock or metal" refuses three, "no jazz, rock" nobody can tell
ONLY = frozenset(("by", "from", "of", "only", "feat", "featuring", "artist", "artists", "band", "bands", "with"))  # behind which an artist is named
AND = frozenset(("and", "or"))
NOUNS = frozenset(("songs", "song", "tracks", "track", "music", "hits", "stuff", "albums", "tunes"))
COMMON = frozenset(("yes", "no", "ok", "okay", "please", "thanks", "hello", "hi", "hey", "now", "today", "tonight", "love", "fun", "free"))  # alone no artist
ALONE = frozenset(("and", "or", "play", "some", "please", "give", "me", "i", "want", "like", "love", "more", "just", "hear", "put", "on"))
WISHES = frozenset(("only", "just", "more", "give", "play"))  # behind what is refused: "no pop only rock"
FILLER = frozenset(map(plain, (
    "a", "an", "the", "of", "to", "for", "from", "in", "on", "at", "with", "and", "or", "by", "my", "me", "i", "i'm", "i'd", "i've", "we", "us", "our",
    "you", "your", "it", "it's", "its", "is", "are", "was", "be", "some", "any", "more", "most", "very", "really", "just", "please", "only", "all",
    "that", "which", "this", "these", "those", "them", "they", "their", "so", "up", "out", "now", "then", "also", "too", "want", "need", "like", "would",
    "could", "can", "give", "make", "create", "build", "play", "put", "get", "find", "fill", "show", "let's", "let", "playlist", "playlists", "mix",
    "list", "set", "music", "song", "songs", "track", "tracks", "tune", "tunes", "stuff", "things", "thing", "something", "ones", "one", "good", "great",
    "nice", "best", "kind", "sort", "type", "style", "vibe", "vibes", "feel", "feeling", "full", "lots", "lot", "plenty", "bit",
    "little", "few", "much", "many", "artist", "artists", "band", "bands", "singer", "singers", "genre", "lasting", "about", "around",
    "what", "whatever", "when", "while", "where", "as", "into", "i'll", "going", "listen", "listening", "hear", "have", "has", "had", "been", "between",
    "each", "other", "than", "there", "here", "day", "today", "tonight", "include", "anything", "should", "either", "shuffle", "keep", "must", "am", "mood",
    "looking", "making",
)))
