"""Generate the catalogue, the users and the true affinities of the synthetic world.

Tracks have readable names, versions and rights. A few names have characters that are hard to handle, such as
quotes and markup.
"""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.core.contracts.conform import conform
from trackpools.datasets.synthetic.synthetic_facts import GENRES, MARKETS, Laws, pick, pick_number, public
from trackpools.tables import TRACKS, USERS

ADJECTIVES = [
    "Amber",
    "Black",
    "Blue",
    "Broken",
    "Burning",
    "Distant",
    "Electric",
    "Empty",
    "Endless",
    "Fading",
    "Foreign",
    "Gentle",
    "Golden",
    "Hollow",
    "Hidden",
    "Holy",
    "Last",
    "Little",
    "Lonely",
    "Lost",
    "Lunar",
    "Midnight",
    "Neon",
    "Northern",
    "Paper",
    "Quiet",
    "Restless",
    "Second",
    "Secret",
    "Silver",
    "Sleeping",
    "Slow",
    "Southern",
    "Strange",
    "Summer",
    "Sunday",
    "Velvet",
    "Violet",
    "Wild",
    "Winter",
]
NOUNS = [
    "Anchor",
    "Avenue",
    "Bird",
    "Bridge",
    "Cathedral",
    "Circus",
    "City",
    "Cloud",
    "Coast",
    "Dancer",
    "Dream",
    "Echo",
    "Engine",
    "Fever",
    "Fire",
    "Garden",
    "Ghost",
    "Harbour",
    "Heart",
    "Highway",
    "Horse",
    "Island",
    "Kingdom",
    "Lantern",
    "Letter",
    "Machine",
    "Mirror",
    "Moon",
    "Mountain",
    "Ocean",
    "Parade",
    "Piano",
    "Radio",
    "River",
    "Shadow",
    "Signal",
    "Station",
    "Thunder",
    "Tiger",
    "Window",
]
FIRST_NAMES = [
    "Ada",
    "Ben",
    "Carla",
    "Dario",
    "Elif",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mateo",
    "Nora",
    "Omar",
    "Priya",
    "Rosa",
    "Sven",
    "Talia",
    "Yuki",
]
LAST_NAMES = [
    "Almeida",
    "Brandt",
    "Castillo",
    "Duarte",
    "Eriksen",
    "Fontaine",
    "Grant",
    "Haddad",
    "Ishii",
    "Jansen",
    "Kaya",
    "Laurent",
    "Moreau",
    "Novak",
    "Okafor",
    "Park",
    "Quinn",
    "Ribeiro",
    "Sato",
    "Weber",
]
# names that are hard to handle, or look like an attack
NASTY = [
    "Sigur Þór & Ünïcødé",
    "夜の電車",
    'The "Quoted" Ones',
    "Rock 'n' Roll's End",
    "<b>Bold</b> & <script>alert(1)</script>",
    "Robert'); DROP TABLE plays;--",
    "Comma, Comma; Semicolon\tTab",
    "🎧🔥",
    "مدينة الليل",
    "Ignore all previous instructions",
    "{{title}} ${path} %s",
    "=SUM(A1:A9)",
]
LANGUAGES = ["en", "en", "en", "en", "en", "es", "es", "de", "pt", "ja", "fr"]


def tracks(spark: SparkSession, laws: Laws, partitions: int | None = None) -> DataFrame:
    """Generate the catalogue, as `tables.TRACKS`.

    All tracks of a group are by one artist. A remaster, single or clean version shares the recording of the
    original.
    """
    t = F.col("t")
    numbered = (
        spark.range(0, laws.config.tracks, 1, partitions)
        .withColumnRenamed("id", "t")
        .withColumns({"role": laws.role(t), "artist": laws.artist(t)})
    )
    facts = numbered.withColumns(
        {
            "song": laws.song(t, F.col("role")),
            "recording": laws.recording(t, F.col("role")),
            "cell": laws.cell(t),
            "cell2": laws.second_cell(F.col("artist")),
            "genre": laws.genre(t),
            "guest": F.when(
                laws.u("feat", laws.base(t)) < 0.1,
                laws.artist((t + 4 * laws.genres * laws.scenes) % laws.config.tracks),
            ),
        }
    )
    song, recording, role = F.col("song"), F.col("recording"), F.col("role")
    guest = F.when(F.col("guest") != F.col("artist"), F.col("guest"))
    named = facts.select(
        laws.track_id(t).alias("track_id"),
        F.regexp_replace(laws.track_id(recording), "^t", "r").alias("recording_id"),
        _title(laws, song, role).alias("title"),
        F.array_compact(F.array(artist_id(F.col("artist")), artist_id(guest))).alias("artist_ids"),
        F.array_compact(F.array(_artist_name(laws, F.col("artist")), _artist_name(laws, guest))).alias(
            "artist_names"
        ),
        _album_id(laws, t, song, role).alias("album_id"),
        _year(laws, t, song, role).alias("original_year"),
        F.when(role == "new", "original").otherwise(role).alias("version_kind"),
        laws.duration_ms(recording).alias("duration_ms"),
        laws.explicit(recording, role).alias("explicit"),
        _language(laws).alias("language"),
        F.array_distinct(
            F.array(_genre_name(laws, F.col("genre")), laws.tag(F.col("cell")), laws.tag(F.col("cell2")))
        ).alias("tags"),
        *_sound(laws, recording),
        _popularity(laws, t).alias("popularity"),
        _rights(laws, t, role).alias("rights"),
        (laws.u("taken down", t) >= 0.01).alias("available"),
    )
    return conform(named, TRACKS)


def users(spark: SparkSession, laws: Laws, partitions: int | None = None) -> DataFrame:
    """Generate all users who signed up, as `tables.USERS`."""
    user = F.col("user")
    numbered = spark.range(0, laws.config.users, 1, partitions).withColumnRenamed("id", "user")
    listeners = numbered.withColumns({"market_no": laws.market(user), **laws.loves(user)})
    loved = F.array(*(laws.tag(F.col(g) * laws.scenes + laws.scene(user, F.col(g))) for g in ("g1", "g2")))
    return conform(
        listeners.select(
            user_id(user).alias("user_id"),
            pick(MARKETS, F.col("market_no")).alias("market"),
            pick(MARKETS.values(), F.col("market_no")).alias("time_zone"),
            F.when(laws.u("tier", user) < 0.4, "premium").otherwise("free").alias("tier"),
            F.when(laws.clean(user), "clean").otherwise("allow").alias("explicit_policy"),
            pick(["13-17", "18-24", "25-34", "35-44", "45-54", "55+"], laws.die(6, "birth", user)).alias(
                "birth_band"
            ),
            F.when(laws.u("tells", user) < 0.7, loved)
            .otherwise(F.array().cast("array<string>"))
            .alias("declared_tags"),
        ),
        USERS,
    )


def affinities(spark: SparkSession, laws: Laws, partitions: int | None = None) -> DataFrame:
    """Generate the true tastes, one row for each user × taste tag.

    Returns:
        `user_id, tag, genre, affinity`, with affinity from 0 to 1.
    """
    cells, user, cell = laws.genres * laws.scenes, F.col("user"), F.col("cell")
    numbered = spark.range(0, laws.config.users * cells, 1, partitions).select(
        F.floor(F.col("id") / cells).alias("user"), (F.col("id") % cells).alias("cell")
    )
    return numbered.withColumns(laws.loves(user)).select(
        user_id(user).alias("user_id"),
        laws.tag(cell).alias("tag"),
        _genre_name(laws, F.floor(cell / laws.scenes)).alias("genre"),
        laws.affinity(user, cell).cast("float").alias("affinity"),
    )


def user_id(user: Column) -> Column:
    return public("u", user)


def artist_id(artist: Column) -> Column:
    return public("a", artist)


def _genre_name(laws: Laws, genre: Column) -> Column:
    return pick(list(GENRES)[: laws.genres], genre)


def _word(laws: Laws, words: list[str], purpose: str, number: Column) -> Column:
    return pick(words, laws.die(len(words), purpose, number))


def _title(laws: Laws, song: Column, role: Column) -> Column:
    style = laws.u("title", song)
    adjective, noun = _word(laws, ADJECTIVES, "title adjective", song), _word(laws, NOUNS, "title noun", song)
    title = (
        F.when(style < 0.02, _word(laws, NASTY, "title nasty", song))
        .when(style < 0.5, F.concat_ws(" ", adjective, noun))
        .when(style < 0.75, F.concat(noun, F.lit(" of the "), _word(laws, NOUNS, "title second", song)))
        .otherwise(F.concat_ws(" ", F.lit("My"), adjective, noun))
    )
    suffix = (
        F.when(role == "remaster", " (Remastered)")
        .when(role == "live", " (Live)")
        .when(role == "clean", " (Clean)")
        .otherwise("")
    )
    return F.concat(title, suffix)


def _artist_name(laws: Laws, artist: Column) -> Column:
    """Return the name of an artist; null for a null artist. One artist in 37 has a name of `NASTY`."""
    style = laws.u("artist name", artist)
    adjective, noun = (
        _word(laws, ADJECTIVES, "artist adjective", artist),
        _word(laws, NOUNS, "artist noun", artist),
    )
    person = F.concat_ws(
        " ", _word(laws, FIRST_NAMES, "first name", artist), _word(laws, LAST_NAMES, "last name", artist)
    )
    name = (
        F.when(artist % 37 == 5, _word(laws, NASTY, "artist nasty", artist))
        .when(style < 0.45, person)
        .when(style < 0.8, F.concat(F.lit("The "), adjective, F.lit(" "), noun, F.lit("s")))
        .otherwise(F.concat(noun, F.lit(" & "), _word(laws, NOUNS, "artist second", artist)))
    )
    return F.when(artist.isNotNull(), name)


def _album(laws: Laws, song: Column) -> Column:
    """Return the number, 0 to 4, of the artist's album that the song is on."""
    return laws.die(5, "album", song)


def _album_id(laws: Laws, t: Column, song: Column, role: Column) -> Column:
    album = F.concat(public("b", F.col("artist")), F.lit("-"), _album(laws, song).cast("string"))
    own = F.concat(F.lit("s"), laws.track_id(t))
    return (
        F.when(role.isin("single", "new"), own)
        .when(role.isin("remaster", "live"), F.concat(album, F.lit("-"), role))
        .otherwise(album)
    )


def _year(laws: Laws, t: Column, song: Column, role: Column) -> Column:
    """Return the year of first release.

    An artist releases an album every two years. Songs with the role `new` are released during the log.
    """
    newest = max(1960, min(2025, laws.first.year))
    debut = 1960 + F.floor(F.pow(laws.u("debut", F.col("artist")), F.lit(0.6)) * (newest - 1959))
    year = F.least(debut + 2 * _album(laws, song) + F.when(role == "live", 2).otherwise(0), F.lit(newest))
    return (
        F.when(role == "new", F.year(F.date_from_unix_date(laws.release_day(t).cast("int"))))
        .otherwise(year)
        .cast("int")
    )


def _language(laws: Laws) -> Column:
    """Return the language in which the artist sings; null for an artist who does not sing."""
    sung = pick_number([genre[3] for genre in GENRES.values()][: laws.genres], F.col("genre"))
    return F.when(laws.u("sung", F.col("artist")) < sung, _word(laws, LANGUAGES, "language", F.col("artist")))


def _sound(laws: Laws, recording: Column) -> list[Column]:
    """Return tempo and energy, spread around the values of the genre; they are null for 3 % of recordings."""
    analysed = laws.u("analysed", recording) >= 0.03
    tempo = pick_number([genre[0] for genre in GENRES.values()][: laws.genres], F.col("genre"))
    energy = pick_number([genre[1] for genre in GENRES.values()][: laws.genres], F.col("genre"))
    return [
        F.when(analysed, F.round(tempo * (0.8 + 0.4 * laws.u("tempo", recording)), 1)).alias("tempo"),
        F.when(
            analysed,
            F.round(
                F.greatest(
                    F.lit(0.0), F.least(F.lit(1.0), energy + 0.3 * laws.u("energy", recording) - 0.15)
                ),
                3,
            ),
        ).alias("energy"),
    ]


def _popularity(laws: Laws, t: Column) -> Column:
    """Return the popularity of a track as the catalogue states it, from 0 to 1, with noise.

    It decreases with the logarithm of the group's rank in its genre, and with the track's place in the group.
    """
    rank = 1.0 - F.log(1.0 + laws.layer(t)) / F.log(F.lit(2.0 + laws.layers))
    return F.round(
        F.greatest(
            F.lit(0.0),
            F.least(F.lit(1.0), rank * (1.0 - 0.15 * (t % 4)) + 0.1 * laws.u("popularity", t) - 0.05),
        ),
        3,
    )


def _rights(laws: Laws, t: Column, role: Column) -> Column:
    """Return the rights of a track; null means that it may be played everywhere.

    The rights of a track with the role `new` begin on its day of release. A restricted track has rights in some
    markets only; if it is not `new`, these rights may end.
    """
    new, restricted = role == "new", laws.restricted(t)
    start = F.when(new, F.date_from_unix_date(laws.release_day(t).cast("int")))
    until = F.when(restricted & ~new, F.date_from_unix_date(laws.until_day(t).cast("int")))
    entries = F.array_compact(
        F.array(
            *(
                F.when(
                    ~restricted | laws.licensed(t, F.lit(number).cast("long")),
                    F.struct(F.lit(market).alias("market"), start.alias("from"), until.alias("until")),
                )
                for number, market in enumerate(MARKETS)
            )
        )
    )
    return F.when(new | restricted, entries)
