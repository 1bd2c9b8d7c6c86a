"""Miniature corpora in exactly the layouts of their publishers, made of committed recordings."""

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile as sf

from l3ac_jax.data.corpora import find_recordings
from l3ac_jax.data.recordings import Cut

FIXTURES = Path(__file__).parents[1] / "fixtures"
CUT = Cut(sample_rate=16000, min_seconds=0.1, silence=1e-3)


def speech(seconds: float, start: float = 1.0, rate: int = 16000) -> np.ndarray:
    """int16 of real speech, at the rate of the recording whatever `rate` says."""
    audio, _ = sf.read(FIXTURES / "librivox_sense_0870.wav", dtype="int16")
    return np.resize(audio[round(start * 16000) :], round(seconds * rate))


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, rate)


def librispeech(root: Path) -> Path:
    """LibriSpeech/SUBSET/SPEAKER/CHAPTER/ID.flac with one transcript file a chapter."""
    for subset, speaker, chapter, count in (
        ("train-clean-100", 19, 198, 2),
        ("train-other-500", 20, 205, 1),
        ("dev-clean", 1272, 128104, 1),
        ("test-other", 1688, 142285, 1),
    ):
        folder = root / "LibriSpeech" / subset / str(speaker) / str(chapter)
        names = [f"{speaker}-{chapter}-{n:04d}" for n in range(count)]
        for n, name in enumerate(names):
            write(folder / f"{name}.flac", speech(0.3 + 0.1 * n, start=n))
        (folder / f"{speaker}-{chapter}.trans.txt").write_text(
            "".join(f"{name} SENTENCE NUMBER {n}\n" for n, name in enumerate(names))
        )
    (root / "LibriSpeech" / "SPEAKERS.TXT").write_text(";ID |SEX| SUBSET |MINUTES| NAME\n")
    return root


def common_voice(root: Path) -> Path:
    """cv-corpus-N/en/{train,dev,test,...}.tsv beside clips/*.mp3, 48 kHz."""
    language = root / "cv-corpus-18.0-2024-06-14" / "en"
    columns = ["client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes"]
    columns += ["down_votes", "age", "gender", "accents", "variant", "locale", "segment"]
    sentences = {"train": ['He said "no', "Two."], "dev": ["Tabs, none."], "test": ["Très bien!"]}
    number = 100
    for table, texts in sentences.items():
        lines = ["\t".join(columns)]
        for text in texts:
            name = f"common_voice_en_{number}.mp3"
            write(language / "clips" / name, speech(0.5, rate=48000), 48000)
            row = dict.fromkeys(columns, "") | {"client_id": "a", "path": name, "sentence": text}
            lines.append("\t".join(row.values()))
            number += 1
        (language / f"{table}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (language / "validated.tsv").write_text("\t".join(columns) + "\n")
    write(language / "clips" / "common_voice_en_999.mp3", speech(0.5, rate=48000), 48000)
    return root / "cv-corpus-18.0-2024-06-14"


def mtg_jamendo(root: Path) -> Path:
    """The metadata repository with the archives in data/audios, as the official code wants them."""
    tracks = {"train": ["48/948", "00/1000"], "validation": ["48/1048"], "test": ["00/2100"]}
    splits = root / "mtg-jamendo-dataset" / "data" / "splits" / "split-0"
    splits.mkdir(parents=True)
    for split, names in tracks.items():
        lines = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
        for name in names:
            track = f"track_{int(name.split('/')[1]):07d}"
            tags = "genre---rock\tinstrument---guitar\tmood/theme---dark"
            lines.append(f"{track}\tartist_000087\talbum_000149\t{name}.mp3\t212.7\t{tags}")
        text = "\r\n".join(lines) + "\r\n"
        (splits / f"autotagging-{split}.tsv").write_bytes(text.encode())
    audios = root / "mtg-jamendo-dataset" / "data" / "audios"
    audios.mkdir()
    for folder in ("00", "48"):
        with tarfile.open(audios / f"raw_30s_audio-low-{folder}.tar", "w") as tar:
            directory = tarfile.TarInfo(folder)
            directory.type = tarfile.DIRTYPE
            tar.addfile(directory)
            for name in (name for names in tracks.values() for name in names):
                if name.startswith(folder):
                    content = io.BytesIO()
                    sf.write(content, speech(2.6, rate=44100), 44100, format="MP3")
                    info = tarfile.TarInfo(f"{name}.low.mp3")
                    info.size = content.tell()
                    content.seek(0)
                    tar.addfile(info, content)
    return root / "mtg-jamendo-dataset"


def fsd50k(root: Path) -> Path:
    """FSD50K.{dev,eval}_audio/*.wav at 44.1 kHz with FSD50K.ground_truth/*.csv."""
    source = root / "FSD50K"
    crow, _ = sf.read(FIXTURES / "misc_crow.flac", dtype="int16")
    for folder, names in (("dev", ["64760", "16399"]), ("eval", ["37199"])):
        for name in names:
            write(source / f"FSD50K.{folder}_audio" / f"{name}.wav", crow[:22050], 44100)
    truth = source / "FSD50K.ground_truth"
    truth.mkdir(parents=True)
    with (truth / "dev.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["fname", "labels", "mids", "split"])
        table.writerow(["64760", "Crow,Bird", "/m/04s8yn,/m/015p6", "train"])
        table.writerow(["16399", "Crow,Bird", "/m/04s8yn,/m/015p6", "val"])
    (truth / "eval.csv").write_text('fname,labels,mids\n37199,"Crow,Bird","/m/04s8yn,/m/015p6"\n')
    (truth / "vocabulary.csv").write_text("0,Crow,/m/04s8yn\n")
    return source


def folder(root: Path, count: int = 40) -> Path:
    """A tree of short clips of different lengths, rates, channels and formats."""
    for n in range(count):
        suffix = ("wav", "flac", "ogg", "mp3")[n % 4]
        rate = (16000, 22050, 44100)[n % 3]
        samples = speech(0.2 + 0.05 * n, start=n % 5, rate=rate)
        if n % 5 == 0:
            samples = np.stack([samples, samples[::-1]], axis=1)
        write(root / f"speaker{n % 4}" / f"clip{n:03d}.{suffix}", samples, rate)
    return root


def listed(corpus, source: Path) -> list[tuple]:
    return [(r.id, r.split, r.source, r.text) for r in find_recordings(corpus, source)]
