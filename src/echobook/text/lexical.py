"""Word-overlap baselines of answer selection: BM25, idf overlap and TF-IDF cosine.

Each scores pairs (question, candidate); inverse document frequencies are counted on a collection that the
caller names, usually all distinct candidates of the split. With f(t, d) the count of term t in candidate d,
n(t) of N documents that hold t, |d| the length of d and avg the mean length:

    BM25(q, d) = sum over t in q of idf(t) f(t, d) (k1 + 1) / (f(t, d) + k1 (1 - b + b |d| / avg)),
    idf(t)     = ln(1 + (N - n(t) + 0.5) / (n(t) + 0.5))   (Robertson and Zaragoza 2009)
    overlap(q, d) = sum of idf(t) over the distinct t that are in q and d, over the sum over those in q

and the cosine of L2-normalised (tf * idf) vectors. BM25's idf is the form that is never negative. A term of
the question counts in BM25 as often as it stands there; terms outside the collection have n(t) = 0.

Words are lower-cased runs of letters and digits, composed (NFC); stop words stay. Counting and products are
sparse (scikit-learn's CountVectorizer, SciPy), float64. Letters: N pairs, V vocabulary. Time O(words of the
texts).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from echobook.data.unicode import nfc

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-cased runs of letters, digits and underscores of the composed text (NFC)."""
    return _WORD.findall(nfc(text.lower()))


@dataclass(frozen=True)
class Collection:
    """Document frequencies of a collection of texts.

    Attributes:
        vocabulary: term -> column.
        frequencies: n(t), the number of documents that hold the term, by column.
        documents: N, the number of documents.
        mean_length: mean number of words of a document.
    """

    vocabulary: dict[str, int]
    frequencies: Float[np.ndarray, " V"]
    documents: int
    mean_length: float

    @property
    def idf(self) -> Float[np.ndarray, " V"]:
        """BM25's inverse document frequency of each column, always positive."""
        return np.log1p((self.documents - self.frequencies + 0.5) / (self.frequencies + 0.5))


def count_collection(texts: Iterable[str], *, terms_of: Iterable[str] = ()) -> Collection:
    """Count the distinct texts of a collection.

    Args:
        texts: the documents; equal texts count once.
        terms_of: further texts (the questions) whose terms get a column, with n(t) = 0 when unseen.

    Raises:
        ValueError: no text, or none with a word.
    """
    documents = list(dict.fromkeys(texts))
    tokens = [words(text) for text in documents]
    total = sum(map(len, tokens))
    if not total:
        raise ValueError(
            f"texts: expected at least one document with a word, got {len(documents)} document(s)"
        )
    terms = sorted({term for row in tokens for term in row} | {t for text in terms_of for t in words(text)})
    vocabulary = {term: column for column, term in enumerate(terms)}
    counts = _count(documents, vocabulary)
    frequencies = np.asarray((counts > 0).sum(axis=0), dtype=np.float64).ravel()
    return Collection(vocabulary, frequencies, len(documents), total / len(documents))


def bm25(
    questions: Sequence[str],
    candidates: Sequence[str],
    collection: Collection | None = None,
    *,
    k1: float = 1.5,
    b: float = 0.75,
) -> Float[np.ndarray, " N"]:
    """BM25 of each pair, >= 0.

    Args:
        questions: question of each of the N pairs.
        candidates: candidate of each pair.
        collection: see :func:`count_collection`; by default counted on ``candidates``.
        k1: saturation of term counts, >= 0; 0 ignores counts.
        b: strength of length normalisation, 0 to 1.

    Raises:
        ValueError: unequal numbers, no pairs, k1 or b out of range.
    """
    if k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"expected k1 >= 0 and 0 <= b <= 1, got k1={k1}, b={b}")
    collection, asked, held = _prepare(questions, candidates, collection)
    length = np.array([len(words(text)) for text in candidates]) / collection.mean_length
    floor = k1 * (1 - b + b * length)  # (N)
    weights = held.tocsr(copy=True)
    rows = np.repeat(np.arange(len(candidates)), np.diff(weights.indptr))
    weights.data = weights.data * (k1 + 1) / (weights.data + floor[rows])
    return _row_products(asked, weights, collection.idf)


def idf_overlap(
    questions: Sequence[str], candidates: Sequence[str], collection: Collection | None = None
) -> Float[np.ndarray, " N"]:
    """Share of the question's idf mass that the candidate holds, in [0, 1]; 0 for a question without words.

    Arguments and errors as in :func:`bm25`.
    """
    collection, asked, held = _prepare(questions, candidates, collection)
    idf = collection.idf
    asked, held = _binary(asked), _binary(held)
    mass = asked @ idf
    return np.divide(_row_products(asked, held, idf), mass, out=np.zeros(len(questions)), where=mass > 0)


def tfidf_cosine(
    questions: Sequence[str], candidates: Sequence[str], collection: Collection | None = None
) -> Float[np.ndarray, " N"]:
    """Cosine of the (count * idf) vectors of each pair, in [0, 1]; 0 where a text has no words.

    Arguments and errors as in :func:`bm25`.
    """
    collection, asked, held = _prepare(questions, candidates, collection)
    weighting = sparse.diags_array(collection.idf)
    left, right = (normalize(sparse.csr_matrix(part @ weighting)) for part in (asked, held))
    return _row_products(left, right, np.ones(len(collection.idf)))


def embedding_cosine(
    questions: Float[np.ndarray, "N D"], candidates: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, " N"]:
    """Cosine of each pair of vectors, in [-1, 1], float64.

    Raises:
        ValueError: a vector of length zero.
    """
    left, right = questions.astype(np.float64), candidates.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    if (norms == 0).any():
        raise ValueError(f"pair {int(np.argmin(norms))}: a vector of length 0 has no direction")
    return np.einsum("nd,nd->n", left, right) / norms


def _prepare(
    questions: Sequence[str], candidates: Sequence[str], collection: Collection | None
) -> tuple[Collection, sparse.csr_matrix, sparse.csr_matrix]:
    if len(questions) != len(candidates):
        raise ValueError(
            f"expected as many questions as candidates, got {len(questions)} and {len(candidates)}"
        )
    if isinstance(questions, str) or isinstance(candidates, str):
        raise ValueError("expected sequences of texts, got one text; pass [text]")
    collection = collection or count_collection(candidates, terms_of=questions)
    return collection, _count(questions, collection.vocabulary), _count(candidates, collection.vocabulary)


def _count(texts: Sequence[str], vocabulary: dict[str, int]) -> sparse.csr_matrix:
    vectoriser = CountVectorizer(analyzer=words, vocabulary=vocabulary)
    return sparse.csr_matrix(vectoriser.transform(texts), dtype=np.float64)


def _binary(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix(counts > 0, dtype=np.float64)


def _row_products(
    left: sparse.csr_matrix, right: sparse.csr_matrix, weights: Float[np.ndarray, " V"]
) -> Float[np.ndarray, " N"]:
    return np.asarray(left.multiply(right) @ weights, dtype=np.float64).ravel()
