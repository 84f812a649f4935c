"""Compensation plans and their published versions."""

from datetime import date, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from app import state
from app.api.callers import Caller
from app.api.errors import READ, READ_ONE
from app.api.fields import IdInPath
from engine.db.plans import Version as KeptVersion
from engine.errors import NotFound
from engine.services import plans

routes = APIRouter(prefix="/commissions/plans", tags=["plans"])


class Plan(BaseModel):
    """A plan: its newest published version, and how many people are on it today."""

    plan_id: int
    name: str
    title: str
    versions: int
    effective_from: date | None
    published_at: datetime | None
    has_draft: bool
    people: int


class Plans(BaseModel):
    """Every plan that the caller may read, by title."""

    items: list[Plan]


class Assignment(BaseModel):
    """A person on a plan in `[start, end)`."""

    user_id: int
    person: str
    start: date
    end: date | None


class VersionName(BaseModel):
    """A published version, without its text; `hash` is the SHA-256 of its canonical form."""

    version_id: int
    effective_from: date
    hash: str
    published_by: str
    published_at: datetime


class PlanStory(BaseModel):
    """A plan with its versions, the oldest first, and the people on it within reach."""

    plan_id: int
    name: str
    title: str
    versions: list[VersionName]
    assigned: list[Assignment]


class Versions(BaseModel):
    """The published versions of a plan, the oldest first."""

    items: list[VersionName]


class Version(VersionName):
    """A published version; `document` is its text in the plan language (TOML)."""

    document: str


@routes.get("", summary="Plans", responses=READ)
def list_plans(caller: Caller) -> Plans:
    """The plans that the caller may read; a rep those of the own pay."""
    found = plans.list_plans(state.database(), caller, state.today())
    return Plans(items=[Plan.model_validate(vars(each)) for each in found])


@routes.get("/{plan_id}", summary="A plan", responses=READ_ONE)
def read_plan(plan_id: IdInPath, caller: Caller) -> PlanStory:
    """A plan with its versions and people."""
    found = plans.plan_detail(state.database(), caller, plan_id, state.today())
    return PlanStory(
        plan_id=found.plan_id,
        name=found.name,
        title=found.title,
        versions=[_named(each) for each in found.versions],
        assigned=[Assignment.model_validate(vars(each)) for each in found.assigned],
    )


@routes.get("/{plan_id}/versions", summary="The versions of a plan", responses=READ_ONE)
def list_versions(plan_id: IdInPath, caller: Caller) -> Versions:
    """The published versions; each holds from its `effective_from` until the next."""
    found = plans.plan_detail(state.database(), caller, plan_id, state.today())
    return Versions(items=[_named(each) for each in found.versions])


@routes.get("/{plan_id}/versions/{version_id}", summary="A version of a plan", responses=READ_ONE)
def read_version(plan_id: IdInPath, version_id: IdInPath, caller: Caller) -> Version:
    """A published version with its rules as they are written.  It never changes."""
    for each in plans.plan_detail(state.database(), caller, plan_id, state.today()).versions:
        if each.version_id == version_id:
            return Version.model_validate(vars(each))
    raise NotFound(f"The plan has no version number {version_id}. Use one of its list.")


def _named(version: KeptVersion) -> VersionName:
    return VersionName.model_validate(vars(version))
