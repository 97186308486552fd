"""Who proposes instructions to GEPA: a reflection model, or the raters' notes. Every proposal passes the guard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Judge
from curate.judge.fencing import fence
from curate.llm import Failure, Reply, Request
from curate.sampling import unit_hash
from curate.stages.tune.bench import Bench
from curate.stages.tune.gate import NOT_ASKED, Complete
from curate.stages.tune.guard import Guard
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.rewording import rewordings

Records = Mapping[str, Sequence[Mapping[str, Any]]]
REFLECTION: dict[str, Any] = {"temperature": 1.0, "max_tokens": 4000}


@dataclass
class Counts:
    """What a search has done so far. Written beside GEPA's own state, so that a resumed search goes on counting."""

    metric_calls: int = 0
    proposals: int = 0
    guarded: int = 0
    first_guarded: str = ""
    useless: int = 0
    first_useless: str = ""
    reflection_calls: int = 0
    reflection_failures: int = 0
    first_failure: str = ""
    usd: float = 0.0
    tried: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


class Proposer:
    """Proposes instructions for one judge. A proposal that the form cannot ask or the guard objects to leaves the
    candidate as it is, before any page is judged with it."""

    def __init__(
        self,
        seed: Judge,
        bench: Bench,
        guard: Guard,
        counts: Counts,
        *,
        pages: Sequence[Labelled],
        marks: Mapping[tuple[str, str], float],
        reflect: Complete | None,
        fail: Callable[[CurateError], None],
    ) -> None:
        self.seed, self.bench, self.guard, self.counts = seed, bench, guard, counts
        self.by_text = {page.text: page for page in pages}
        self.marks, self.reflect, self.fail = marks, reflect, fail

    def by_model(
        self, candidate: dict[str, str], reflective_dataset: Records, components_to_update: list[str]
    ) -> dict[str, str]:
        """DSPy's own proposer, shown each page as the judge was shown it."""
        from dspy.teleprompt.gepa import InstructionProposer

        propose = InstructionProposer(additional_instructions=form_note(self.seed))
        shown = {name: [self._as_shown(record) for record in records] for name, records in reflective_dataset.items()}
        proposed = dict(candidate)
        for name in components_to_update:
            try:
                said = propose(candidate, shown, [name])[name]
            except Exception as error:  # the proposer lets through whatever its model, parser or validator raises
                self._useless(" ".join(str(error).split())[:200])
                continue
            proposed[name] = self._passed(candidate[name], said)
        return proposed

    def by_notes(
        self, candidate: dict[str, str], reflective_dataset: Records, components_to_update: list[str]
    ) -> dict[str, str]:
        """One reword of the candidate by what raters wrote of the pages it judged worst; unchanged where all are tried."""
        pages = [self.by_text[str(record["Inputs"]["page"])] for record in reflective_dataset[components_to_update[0]]]
        return {name: self._reworded(candidate[name], pages) for name in components_to_update}

    def ask(self, request: Request) -> Reply | Failure:
        """The reflection model, counted."""
        gate = self.bench.gate
        if gate.closed:
            return Failure("failed", NOT_ASKED + gate.closed)
        self.counts.reflection_calls += 1
        try:
            reply = self.reflect(request) if self.reflect else Failure("failed", "no reflection model is set")
        except CurateError as error:
            reply = Failure("failed", str(error))
            if type(error) is not CurateError:
                self.fail(error)
        if isinstance(reply, Failure):
            self.counts.reflection_failures += 1
            self.counts.first_failure = self.counts.first_failure or reply.why
        return reply

    def check(self) -> None:
        """Raises CurateError where the reflection model never gave an instruction: GEPA itself would say nothing and
        return the seed."""
        counts = self.counts
        if counts.reflection_calls and counts.reflection_failures == counts.reflection_calls:
            raise CurateError(
                f"tune: the reflection model failed on all {counts.reflection_calls} calls (first: "
                f"{counts.first_failure[:160]}), so no instruction was ever proposed; check judge.reflection_model, or "
                "set tune.reflection=notes"
            )
        if counts.useless and not counts.proposals and not counts.guarded and counts.reflection_calls:
            raise CurateError(
                f"tune: none of {counts.useless} replies of the reflection model held an instruction (first: "
                f"{counts.first_useless}); use a stronger judge.reflection_model, or set tune.reflection=notes"
            )

    def _passed(self, before: str, said: str) -> str:
        """The proposal, or what was there before."""
        if not said.strip() or not judges.well_formed(self.seed.form, said):
            self._useless(f"it is no instruction of the {self.seed.form} form: {said[:120]!r}")
            return before
        if self._objected(said):
            return before
        self.counts.proposals += said != before
        return said

    def _objected(self, said: str) -> bool:
        why = self.guard.objection(said)
        self.counts.guarded += bool(why)
        self.counts.first_guarded = self.counts.first_guarded or why
        return bool(why)

    def _reworded(self, instruction: str, pages: Sequence[Labelled]) -> str:
        order = sorted(pages, key=lambda p: (self.marks.get((instruction, p.page_id), 0.0), unit_hash(p.page_id)))
        asked = self.seed.model_copy(update={"instruction": instruction})
        for page in order:
            for worded in rewordings(asked, page, self.bench.said(asked, page)):
                if worded in self.counts.tried or not judges.well_formed(self.seed.form, worded):
                    continue
                self.counts.tried.append(worded)
                if not self._objected(worded):
                    self.counts.proposals += 1
                    return worded
        return instruction

    def _useless(self, why: str) -> None:
        if self.bench.gate.closed:
            return
        self.counts.useless += 1
        self.counts.first_useless = self.counts.first_useless or why

    def _as_shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        page = str(record["Inputs"].get("page", ""))
        outputs = record.get("Generated Outputs")
        answer = str(outputs.get("answer", "")) if isinstance(outputs, Mapping) else str(outputs or "")
        shown = shown_page(self.seed, page, self.bench.ends)
        return {"Inputs": {"page": shown}, "Generated Outputs": {"answer": answer}, "Feedback": record["Feedback"]}


def shown_page(judge: Judge, text: str, ends: judges.Ends | None) -> str:
    """The page between its marks, as the judge was shown it."""
    return fence(text, key=judge.fence, view=judges.view_of(judge, text, ends))


def form_note(seed: Judge) -> str:
    """What an instruction of a form looks like, for whoever writes one."""
    fixed = {
        "ab": "The instruction is exactly two lines, `high: ...` and `low: ...`, each a short description of a kind of text. ",
        "kind": "The instruction is only lines `word: level`, one-word kinds of text and the level each stands for. ",
        "does": "The instruction is only lines `verb: level`, one-word verbs for what a text does and the level each stands for. ",
        "yesno": "The instruction is one short question about the text, whose yes means a text worth keeping. ",
    }.get(seed.form, "")
    return fixed + "Give general rules in few words. Never quote or name the pages of the examples."
