"""Questions with five answers each, written for the tests, and a rubric that asks for the letter."""

from curate.rubric import Rubric
from curate.schema import page_id
from curate.stages.tune import Labelled

LETTERS = "ABCDE"
ASKED = """
Where does one keep milk so that it stays fresh?|refrigerator
What do people carry when it rains?|umbrella
Where do trains stop for passengers?|station
What does one use to cut bread?|knife
Where do fish live?|water
What does a tired person want to do?|sleep
Where does one borrow books?|library
What keeps hands warm in winter?|gloves
Who repairs a broken tooth?|dentist
What does one turn on to see in the dark?|lamp
Where do planes land?|airport
What does a bird build for its eggs?|nest
What does one drink when thirsty?|lemonade
Where are criminals locked up?|prison
What does a gardener use against dry soil?|hose
What tells the time on a wall?|clock
Where does one look at paintings?|museum
What does one put on a letter before posting it?|stamp
Where do bees bring their honey?|hive
What does one wear on sore eyes in bright sun?|sunglasses
What does a carpenter hit nails with?|hammer
Where does one swim in a town?|pool
What does one follow to find an unknown place?|map
Where do children learn to read?|school
What stops a car?|brake
What does one sit on at a table?|chair
Where does a farmer keep the cows at night?|barn
What does one need to open a locked door?|key
What do sheep give for sweaters?|wool
Where does one watch a play?|theatre
What does one use to sweep a floor?|broom
Where is money kept safe?|bank
What does one light on a birthday cake?|candle
What carries people across a river where no bridge is?|ferry
Where does one go when badly hurt?|hospital
What does one look into to see oneself?|mirror
"""
QUESTIONS = [tuple(line.split("|")) for line in ASKED.strip().splitlines()]
QUIZ = Rubric(
    name="quiz",
    asks="Which answer is right?",
    scale="choice",
    keep=[],
    classes={letter: f"answer {letter} is right" for letter in LETTERS},
    levels={i: f"answer {letter} is right" for i, letter in enumerate(LETTERS)},
    instruction="Read the question and its five answers. Say which answer is right.",
)


def right(number: int) -> int:
    """Place of the right answer."""
    return (number * 3 + number // 5) % len(LETTERS)


def text(number: int) -> str:
    """The question and its answers, the wrong ones out of other questions."""
    question, answer = QUESTIONS[number]
    others = [QUESTIONS[(number + step) % len(QUESTIONS)][1] for step in (1, 4, 9, 16)]
    others.insert(right(number), answer)
    return "\n".join([f"Question: {question}", *(f"{k}. {word}" for k, word in zip(LETTERS, others, strict=True))])


def questions(note: str, *, train: int = 20) -> list[Labelled]:
    """All questions, labelled by one person, the first `train` for train and the others for val."""
    return [
        Labelled(
            page_id=page_id(text(number)),
            text=text(number),
            split="train" if number < train else "val",
            group=f"q{number}",
            truth=float(right(number)),
            keep=False,
            said=(("ann", right(number), note),),
        )
        for number in range(len(QUESTIONS))
    ]
