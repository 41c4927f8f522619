"""Scores pairs of WAV files by PESQ (ITU-T P.862.2, wideband): a line "SAID<tab>HEARD" on standard input is
answered by a line with the score, or "none" where PESQ finds no speech to compare."""

import sys
import wave

import numpy
from pesq import PesqError, pesq


def samples(path):
    with wave.open(path) as file:
        return file.getframerate(), numpy.frombuffer(file.readframes(file.getnframes()), "<i2")


for line in sys.stdin:
    said, heard = line.rstrip("\n").split("\t")
    rate, reference = samples(said)
    score = pesq(rate, reference, samples(heard)[1], "wb", on_error=PesqError.RETURN_VALUES)
    print(f"{score:.4f}" if score > 0 else "none", flush=True)
