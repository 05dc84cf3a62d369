"""Texts, word vectors and clipping of the second volume (Saito, 2018, chapters 2 to 7)."""

import os
import sys
from typing import Any

import numpy as np

from fastnn.dropin.volume2.common.config import GPU

__all__ = [
    "GPU",
    "analogy",
    "clip_grads",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "eval_perplexity",
    "eval_seq2seq",
    "most_similar",
    "normalize",
    "np",
    "os",
    "ppmi",
    "preprocess",
    "sys",
    "to_cpu",
    "to_gpu",
]


def preprocess(text: str) -> tuple[Any, dict[str, int], dict[int, str]]:
    """The words of a text as numbers, in the order of their first appearance, and both dictionaries."""
    words = text.lower().replace(".", " .").split(" ")
    word_to_id: dict[str, int] = {}
    for word in words:
        word_to_id.setdefault(word, len(word_to_id))
    return np.array([word_to_id[word] for word in words]), word_to_id, {i: word for word, i in word_to_id.items()}


def cos_similarity(x: Any, y: Any, eps: float = 1e-8) -> Any:
    """The cosine of the angle between two vectors; eps is added to both lengths."""
    return np.dot(x / (np.sqrt(np.sum(x**2)) + eps), y / (np.sqrt(np.sum(y**2)) + eps))


def most_similar(
    query: str, word_to_id: dict[str, int], id_to_word: dict[int, str], word_matrix: Any, top: int = 5
) -> None:
    """Print the words whose vectors are most similar to that of the query."""
    if query not in word_to_id:
        print(f"{query} is not found")
        return
    print(f"\n[query] {query}")
    vector = word_matrix[word_to_id[query]]
    similarity = np.array([cos_similarity(word_matrix[i], vector) for i in range(len(id_to_word))])
    _print_largest(similarity, id_to_word, {query}, top)


def _print_largest(scores: Any, id_to_word: dict[int, str], left_out: set[str], top: int) -> None:
    words = [i for i in (-1 * scores).argsort() if id_to_word[int(i)] not in left_out and not np.isnan(scores[i])]
    for i in words[:top]:
        print(f" {id_to_word[int(i)]}: {scores[i]}")


def convert_one_hot(corpus: Any, vocab_size: int) -> Any:
    """One-hot int32 rows of numbers (N,) or (N, C), along a new last axis."""
    one_hot = np.zeros((*corpus.shape, vocab_size), np.int32)
    np.put_along_axis(one_hot, np.asarray(corpus)[..., None], 1, axis=-1)
    return one_hot


def create_co_matrix(corpus: Any, vocab_size: int, window_size: int = 1) -> Any:
    """How often each word is within window_size of each other, int32 (vocab_size, vocab_size)."""
    matrix = np.zeros((vocab_size, vocab_size), np.int32)
    corpus = np.asarray(corpus)
    for distance in range(1, window_size + 1):
        np.add.at(matrix, (corpus[:-distance], corpus[distance:]), 1)
        np.add.at(matrix, (corpus[distance:], corpus[:-distance]), 1)
    return matrix


def ppmi(C: Any, verbose: bool = False, eps: float = 1e-8) -> Any:
    """Positive pointwise mutual information of counts C, float32: max(0, log2(C N / (row sum column sum) + eps))."""
    total, sums = np.sum(C), np.sum(C, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log2(C * total / (sums[None, :] * sums[:, None]) + eps)
    if verbose:
        print("100.0% done")
    return np.where(information > 0, information, 0).astype(np.float32)  # also 0 for a word that does not occur


def create_contexts_target(corpus: Any, window_size: int = 1) -> tuple[Any, Any]:
    """The window_size words on both sides of each word that has them (N, 2 window_size), and the word (N,)."""
    corpus = np.asarray(corpus)
    target = corpus[window_size : len(corpus) - window_size]
    offsets = [t for t in range(-window_size, window_size + 1) if t]
    places = np.arange(window_size, len(corpus) - window_size)[:, None] + np.array(offsets, int)
    return corpus[places], target


def to_cpu(x: Any) -> Any:
    """x as a NumPy array."""
    return x if type(x) is np.ndarray else np.asarray(x)


def to_gpu(x: Any) -> Any:
    """Raise a RuntimeError: fastnn uses no GPU."""
    raise RuntimeError("to_gpu: expected GPU = False to stay so, got a call; fastnn runs on the CPU alone")


def clip_grads(grads: Any, max_norm: float) -> None:
    """Scale all gradients in place so that their common norm is at most max_norm."""
    norm = np.sqrt(sum(np.sum(grad**2) for grad in grads))
    rate = max_norm / (norm + 1e-6)
    if rate < 1:
        for grad in grads:
            grad *= rate


def eval_perplexity(model: Any, corpus: Any, batch_size: int = 10, time_size: int = 35) -> Any:
    """The perplexity of a recurrent model on a corpus, read from batch_size places at once."""
    print("evaluating perplexity ...")
    corpus = np.asarray(corpus)
    steps, jump = (len(corpus) - 1) // (batch_size * time_size), (len(corpus) - 1) // batch_size
    total = 0.0
    for step in range(steps):
        places = np.arange(batch_size)[:, None] * jump + step * time_size + np.arange(time_size)
        xs, ts = corpus[places].astype(np.int32), corpus[places + 1].astype(np.int32)
        try:
            total += model.forward(xs, ts, train_flg=False)
        except TypeError:  # a model without dropout takes no such argument
            total += model.forward(xs, ts)
    return np.exp(total / steps)


def eval_seq2seq(
    model: Any, question: Any, correct: Any, id_to_char: dict[int, str], verbos: bool = False, is_reverse: bool = False
) -> int:
    """1 if the model's answer to a question is the correct one, else 0; verbos (the book's name) prints all three."""
    expected = np.asarray(correct).flatten()
    guess = model.generate(question, int(expected[0]), len(expected) - 1)
    texts = [
        "".join(id_to_char[int(c)] for c in part) for part in (np.asarray(question).flatten(), expected[1:], guess)
    ]
    if is_reverse:
        texts[0] = texts[0][::-1]
    right = texts[1] == texts[2]
    if verbos:
        print(f"Q {texts[0]}\nT {texts[1]}\n{'O' if right else 'X'} {texts[2]}\n---")
    return int(right)


def analogy(
    a: str,
    b: str,
    c: str,
    word_to_id: dict[str, int],
    id_to_word: dict[int, str],
    word_matrix: Any,
    top: int = 5,
    answer: str | None = None,
) -> None:
    """Print the words that relate to c as b to a: their vectors are most similar to b - a + c."""
    for word in (a, b, c):
        if word not in word_to_id:
            print(f"{word} is not found")
            return
    print(f"\n[analogy] {a}:{b} = {c}:?")
    first, second, third = (word_matrix[word_to_id[word]] for word in (a, b, c))
    vector = normalize(second - first + third)
    scores = np.dot(word_matrix, vector)
    if answer is not None:
        print(f"==>{answer}:{np.dot(word_matrix[word_to_id[answer]], vector)}")
    _print_largest(scores, id_to_word, {a, b, c}, top)


def normalize(x: Any) -> Any:
    """x divided by its length, each row by its own; changed in place and returned."""
    length = np.sqrt((x * x).sum()) if x.ndim == 1 else np.sqrt((x * x).sum(axis=1))[:, None]
    x /= length
    return x
