"""A small vocabulary of our own: common words, names that sound much like them, and how all are pronounced.

Spellings and pronunciations (ARPAbet without stress) were written down for this project; nothing is taken
from a dictionary file or a list of names. Many names are one phoneme away from a common word, as Bauer is
from power, and some are far from all of them. Further names are put together from beginnings, vowels, ends of
syllables and endings whose spelling leaves no doubt about the sound: Keelton, Marnley, Toolo. Common words
stand in their order of frequency, by our judgement.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"

ONSETS = "b B;d D;f F;g G;h HH;k K;l L;m M;n N;p P;r R;s S;t T;v V;w W;sh SH;ch CH;br B R;tr T R;bl B L"
VOWELS = "ee IY;oo UW;ar AA R;or AO R;ay EY"
CODAS = "l L;n N;d D;t T;k K;m M;p P;b B"
SURNAME_ENDS = "er ER;ton T AH N;ley L IY;man M AH N;son S AH N;low L OW;field F IY L D"
FIRST_ENDS = "a AH;o OW;ie IY"

COMMON = """
the DH AH; to T UW; and AE N D; is IH Z; what W AH T; on AA N; call K AO L; me M IY; about AH B AW T;
play P L EY; how HH AW; please P L IY Z; turn T ER N; off AO F; find F AY N D; say S EY; one W AH N;
far F AA R; again AH G EH N; drive D R AY V; stop S T AA P; look L UH K; for F AO R; tell T EH L;
house HH AW S; street S T R IY T; park P AA R K; hill HH IH L; school S K UW L; very V EH R IY; time T AY M;
water W AO T ER; light L AY T; power P AW ER; tower T AW ER; paper P EY P ER; later L EY T ER;
never N EH V ER; river R IH V ER; better B EH T ER; letter L EH T ER; dinner D IH N ER; winter W IH N T ER;
corner K AO R N ER; flower F L AW ER; summer S AH M ER; mother M AH DH ER; farmer F AA R M ER;
garden G AA R D AH N; market M AA R K AH T; master M AE S T ER; sister S IH S T ER; table T EY B AH L;
simple S IH M P AH L; people P IY P AH L; little L IH T AH L; middle M IH D AH L; money M AH N IY;
many M EH N IY; happy HH AE P IY; story S T AO R IY; city S IH T IY; ready R EH D IY; body B AA D IY;
heavy HH EH V IY; family F AE M L IY; morning M AO R N IH NG; evening IY V N IH NG; music M Y UW Z IH K;
number N AH M B ER; order AO R D ER; color K AH L ER; doctor D AA K T ER; window W IH N D OW;
yellow Y EH L OW; follow F AA L OW; narrow N EH R OW; minute M IH N AH T; second S EH K AH N D;
reason R IY Z AH N; person P ER S AH N; lesson L EH S AH N; button B AH T AH N; bread B R EH D;
stone S T OW N; train T R EY N; green G R IY N; brown B R AW N; black B L AE K; white W AY T; night N AY T;
north N AO R TH; south S AW TH; cold K OW L D; warm W AO R M; rain R EY N; snow S N OW; song S AO NG;
game G EY M; news N UW Z; bank B AE NG K; ship SH IH P; horse HH AO R S; road R OW D; field F IY L D;
book B UH K; milk M IH L K; sugar SH UH G ER; coffee K AO F IY; apple AE P AH L; orange AO R AH N JH;
silver S IH L V ER; golden G OW L D AH N; honey HH AH N IY; berry B EH R IY; candle K AE N D AH L
"""

SURNAMES = """
bauer B AW ER; varley V AA R L IY; waiter W EY T ER; lightner L AY T N ER; povey P OW V IY;
towler T AW L ER; piper P AY P ER; lighter L AY T ER; neville N EH V AH L; rivers R IH V ER Z;
becker B EH K ER; lesser L EH S ER; sinner S IH N ER; wenter W EH N T ER; horner HH AO R N ER;
flowers F L AW ER Z; sommer S AA M ER; mather M AE DH ER; farner F AA R N ER; harden HH AA R D AH N;
barket B AA R K AH T; gaster G AE S T ER; lister L IH S T ER; gable G EY B AH L; wimple W IH M P AH L;
peeble P IY B AH L; lytle L AY T AH L; riddle R IH D AH L; mundy M AH N D IY; penny P EH N IY;
cappy K AE P IY; stoney S T OW N IY; kitty K IH T IY; becky B EH K IY; toddy T AA D IY; levy L EH V IY;
lumber L AH M B ER; arder AA R D ER; cutler K AH T L ER; proctor P R AA K T ER; winslow W IH N Z L OW;
mellow M EH L OW; hollow HH AA L OW; farrow F EH R OW; minnick M IH N AH K; beckon B EH K AH N;
eason IY Z AH N; pearson P IH R S AH N; wesson W EH S AH N; sutton S AH T AH N; breck B R EH K;
stroh S T R OW; crane K R EY N; greave G R IY V; crown K R AW N; flack F L AE K; wyatt W AY AH T;
knapp N AE P; knorr N AO R; booth B UW TH; gould G UW L D; wurm W ER M; raines R EY N Z
"""

FIRST_NAMES = """
betsy B EH T S IY; oscar AO S K ER; hanni HH AE N IY; milly M IH L IY; simba S IH M B AH; coley K OW L IY;
barry B AE R IY; candy K AE N D IY; rosco R AA S K OW; gilda G IH L D AH; toby T OW B IY;
sidney S IH D N IY; amber AE M B ER; dolby D OW L B IY; morris M AO R AH S; helga HH EH L G AH;
nelly N EH L IY; bodo B OW D OW; tessa T EH S AH; wally W AA L IY; pepper P EH P ER; maddy M AE D IY;
felix F IY L IH K S; stella S T EH L AH; buddy B AH D IY; lola L OW L AH; hector HH EH K T ER;
sandy S AE N D IY
"""


@dataclass(frozen=True)
class SpokenNames:
    """Pronunciations by word, common words by frequency, surnames and first names, and the data set."""

    pronunciations: dict[str, tuple[str, ...]]
    common: tuple[str, ...]
    surnames: tuple[str, ...]
    first: tuple[str, ...]
    use: DatasetUse


def spoken_names(*, composed: int = 2000) -> SpokenNames:
    """The vocabulary; the same on every call. `composed` surnames are put together, and a quarter as many
    first names."""
    lists = [list(_read(text)) for text in (COMMON, SURNAMES, FIRST_NAMES)]
    lists[1] += _composed(SURNAME_ENDS, composed, VERSION + "surnames")
    lists[2] += _composed(FIRST_ENDS, composed // 4, VERSION + "first")
    words = {word: phonemes for rows in lists for word, phonemes in rows}
    common, surnames, first = (tuple(word for word, _ in rows) for rows in lists)
    use = DatasetUse(
        "spoken-names",
        VERSION if composed == 2000 else f"{VERSION}-{composed}",
        rows_digest((word, *phonemes) for rows in lists for word, phonemes in rows),
        "CC0-1.0 (generated)",
        {"common": len(common), "surnames": len(surnames), "first names": len(first)},
        "echobook.data.generators.spoken_names",
    )
    return SpokenNames(words, common, surnames, first, use)


def _read(text: str) -> Sequence[tuple[str, tuple[str, ...]]]:
    rows = [row.split() for row in text.replace("\n", " ").split(";")]
    return [(word, tuple(phonemes)) for word, *phonemes in rows]


def _composed(ends: str, count: int, purpose: str) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Different names of a beginning, a vowel, the end of a syllable and an ending, in random order."""
    parts = [_read(text) for text in (ONSETS, VOWELS, CODAS, ends)]
    names = [
        ("".join(text for text, _ in chosen), tuple(phoneme for _, sounds in chosen for phoneme in sounds))
        for chosen in itertools.product(*parts)
    ]
    random.Random(purpose).shuffle(names)
    return names[:count]
