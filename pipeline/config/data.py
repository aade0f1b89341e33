"""Sections `data`, `audit` and `split`: where clips come from, which are rejected, and who is in train, valid and test."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Fraction, Positive, Section


class Starter(Section):
    clips_per_style: Positive
    seconds: Annotated[float, Field(ge=10)]


class BaseData(Section):
    source: str


class Data(BaseData):
    source: Literal["starter", "gtzan", "gtzan-mini", "folder", "url"]
    starter: Starter
    mirror: str | None
    """Base URL to fetch GTZAN archives from, instead of their public hosts."""
    url: str | None
    """Of source ``url``: where the music is, with a sub-folder for each label; any URL that fsspec knows."""

    @model_validator(mode="after")
    def _has_url(self) -> Self:
        if self.source == "url" and not (self.url and "://" in self.url):
            raise ValueError("source url needs url, like s3://bucket/folder or ssh://host/folder")
        return self


class BaseAudit(Section):
    """What the audit of any data set needs; the limits on single files are in a subclass."""

    min_clips: Positive
    """Good clips that each label needs."""


class Audit(BaseAudit):
    min_seconds: Annotated[float, Field(gt=0)]
    max_seconds: Annotated[float, Field(gt=0)]
    silence_dbfs: Annotated[float, Field(lt=0)]
    max_clipped: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_seconds <= self.min_seconds:
            raise ValueError("max_seconds must be above min_seconds")
        return self


class Split(Section):
    protocol: Literal["grouped", "random", "tutorial", "filtered"]
    """See pipeline/data/split.py."""
    folds: Annotated[int, Field(ge=1, le=50)] | Literal["auto"]
    """k: cross-validation of the clips outside test, and a last training on all of them; 1: one validation part; auto: see
    pipeline/data/split.py."""
    test_folds: Annotated[int, Field(ge=1, le=50)]
    """k: each clip is a test clip once, in k times as many trainings."""
    valid: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    """With k test folds it is 1/k."""

    @property
    def published(self) -> bool:
        """Whether the protocol says which clips are test clips."""
        return self.protocol in ("tutorial", "filtered")

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        test = self.test if self.test_folds == 1 else 1 / self.test_folds
        if self.valid + test >= 1:
            raise ValueError("valid + test must be below 1: nothing would be left to train on")
        if self.test_folds > 1 and self.published:
            raise ValueError(f"the test clips of protocol {self.protocol!r} are published: set test_folds to 1")
        return self
