"""Statistics of a text: the one that comes with the event, or the book that comes with the code."""

import collections
import os
import re

BOOK = os.path.join(os.path.dirname(__file__), "lighthouse.txt")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
VOWELS = re.compile(r"[aeiouy]+")

# Read once, while the sandbox starts; every invocation of this instance finds it here.
with open(BOOK, encoding="utf-8") as book:
    BOOK_TEXT = book.read()


def count_syllables(word):
    groups = len(VOWELS.findall(word))
    return max(1, groups - (word.endswith("e") and not word.endswith("le")))


def reading_ease(words, sentences_count):
    """Flesch's formula: about 100 for very easy, below 30 for very hard."""
    syllables = sum(count_syllables(word) for word in words)
    return 206.835 - 1.015 * len(words) / sentences_count - 84.6 * syllables / len(words)


def handler(event, context):
    text = event.get("text", BOOK_TEXT)
    top = int(event.get("top", 5))
    letters_min = int(event.get("letters_min", 1))
    words = [word.lower() for word in WORD.findall(text)]
    if not words:
        raise ValueError("the text has no words")
    sentences_count = max(1, len(SENTENCE_END.findall(text)))
    counted = collections.Counter(word for word in words if len(word) >= letters_min)
    print(f"{len(words)} words, {context.get_remaining_time_in_millis()} ms left")
    return {
        "lines": len(text.splitlines()),
        "paragraphs": len([part for part in re.split(r"\n\s*\n", text) if part.strip()]),
        "sentences": sentences_count,
        "words": len(words),
        "words_unique": len(set(words)),
        "letters_per_word": round(sum(map(len, words)) / len(words), 2),
        "longest_word": max(sorted(set(words)), key=len),
        "reading_ease": round(reading_ease(words, sentences_count), 1),
        # Most frequent first, the alphabet between equals.
        "top": sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top],
    }
