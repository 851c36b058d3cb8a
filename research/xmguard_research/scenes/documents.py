"""Short forms and small tables, rendered as text."""

from __future__ import annotations

from random import Random

from xmguard_research.scenes.canvas import FACES, Canvas, jittered, mixed
from xmguard_research.scenes.concepts import COLOURS, FOODS, MONTHS, NAMES, PAPERS, Rgb
from xmguard_research.scenes.spec import Layout, Question, Scene, Slot, Values, asked, of_split

INK: Rgb = (24, 24, 28)
TITLES = ("receipt", "ticket", "invoice", "booking", "order", "voucher")
DATES = tuple(f"{day} {month}" for month in MONTHS for day in range(1, 29))
TIMES = tuple(f"{hour}:{minute:02d}" for hour in range(6, 24) for minute in range(0, 60, 10))
TOTALS = tuple(str(total) for total in range(10, 100))
NUMBERS = tuple(str(number) for number in range(1, 41))
_FIELDS = ("date", "time", "name", "total", "number")


def page(canvas: Canvas, random: Random) -> None:
    """A sheet of paper on a desk of any colour."""
    canvas.panel(random.choice(tuple(COLOURS)), random, covered=True)
    paper = jittered(random.choice(PAPERS), random)
    edge = [random.uniform(3, 9) for _ in range(4)]
    box = (edge[0], edge[1], 224 - edge[2], 224 - edge[3])
    canvas.board(box, paper, radius=random.choice((0, 4)), outline=mixed(paper, (0, 0, 0), 0.25))


def _propose_document(random: Random, split: str) -> dict[str, str]:
    shown = random.sample(_FIELDS, random.choice((3, 4)))
    values = {
        "date": random.choice(of_split("document", DATES, split)),
        "time": random.choice(of_split("document", TIMES, split)),
        "name": random.choice(NAMES),
        "total": random.choice(of_split("document", TOTALS, split)),
        "number": random.choice(of_split("document", NUMBERS, split)),
    }
    return {"title": random.choice(TITLES), **{name: values[name] for name in shown}}


def _draw_document(canvas: Canvas, scene: Scene) -> None:
    page(canvas, scene.random("background"))
    random = scene.random("letters")
    face, size = random.choice(FACES[:3]), random.uniform(23, 26)
    heading = random.choice((str.upper, str.capitalize))
    lines = [
        f"{'No' if name == 'number' else name.capitalize()}: {value}" for name, value in scene.items if name != "title"
    ]
    size *= min(1.0, 182 / max(canvas.width(line, face=face, size=size) for line in lines))
    step = 168 / (len(lines) + 1)
    top, left = random.uniform(34, 40), random.uniform(17, 23)
    canvas.text(heading(scene.values["title"]), (left, top), face=face, size=size, colour=INK, anchor="lm")
    canvas.line((left, top + 18), (224 - left, top + 18), INK, 1.5)
    for row, line in enumerate(lines, start=1):
        canvas.text(line, (left, top + 6 + row * step), face=face, size=size, colour=INK, anchor="lm")


DOCUMENT = Layout(
    name="document",
    kind="document",
    slots=(
        Slot(
            name="title",
            skill="document",
            domain=TITLES,
            questions=("What kind of document is it?", "What is the title of the document?", "Read the heading."),
            statements=(
                'The document is headed "{title}".',
                'The heading of the page is "{title}".',
                'What the page calls itself is "{title}".',
            ),
        ),
        Slot(
            name="date",
            skill="document",
            domain=DATES,
            questions=("What is the date on the {title}?", "Which date is given?", "On which date was it?"),
            statements=(
                "The {title} is dated {date}.",
                "{date} is the date on the {title}.",
                "The date given is {date}.",
            ),
        ),
        Slot(
            name="time",
            skill="document",
            domain=TIMES,
            questions=("What time is on the {title}?", "Which time is given?", "At what time was it?"),
            statements=("The {title} says {time}.", "{time} is the time on the {title}.", "The time given is {time}."),
        ),
        Slot(
            name="name",
            skill="document",
            domain=NAMES,
            questions=("Whose name is on the {title}?", "Which name is given?", "For whom is the {title}?"),
            statements=(
                "The {title} is for {name}.",
                "{name} is the name on the {title}.",
                "The name given is {name}.",
            ),
        ),
        Slot(
            name="total",
            skill="document",
            domain=TOTALS,
            questions=("What is the total?", "Which total is on the {title}?", "How much is it in total?"),
            statements=(
                "The {title} comes to a total of {total}.",
                "{total} is the total on the {title}.",
                "The total given is {total}.",
            ),
        ),
        Slot(
            name="number",
            skill="document",
            domain=NUMBERS,
            questions=("What is the number of the {title}?", "Which number is given?", "What number follows No?"),
            statements=(
                "The {title} has number {number}.",
                "{number} is the number of the {title}.",
                "The number given is {number}.",
            ),
        ),
    ),
    propose=_propose_document,
    together=(("date",), ("time",), ("total",), ("number",)),
    draw=_draw_document,
)

ROWS = (1, 2, 3)
TABLE_PRICES = tuple(str(price) for price in range(2, 100))


def _propose_table(random: Random, split: str) -> dict[str, str]:
    items = random.sample(FOODS, len(ROWS))
    prices = random.sample(of_split("table", TABLE_PRICES, split), len(ROWS))
    return {
        **{f"item{row}": item for row, item in zip(ROWS, items, strict=True)},
        **{f"price{row}": price for row, price in zip(ROWS, prices, strict=True)},
    }


def _all_differ(values: Values) -> bool:
    return len({values[f"price{row}"] for row in ROWS}) == len(ROWS)


def _table_more(values: Values, random: Random) -> list[Question]:
    row = random.choice(ROWS)
    price, item = values[f"price{row}"], values[f"item{row}"]
    place = ("first", "second", "third")[row - 1]
    by_price = (f"What costs {price}?", f"Which item has the price {price}?", f"What can one buy for {price}?")
    by_row = (
        f"Which item is in the {place} row?",
        f"What is the {place} item of the table?",
        f"Name the item in the {place} row.",
    )
    return [asked(random, by_price, item, "table"), asked(random, by_row, item, "table")]


def _draw_table(canvas: Canvas, scene: Scene) -> None:
    page(canvas, scene.random("background"))
    random = scene.random("letters")
    face, size = random.choice(FACES[:3]), random.uniform(27, 31)
    shade = mixed((255, 255, 255), random.choice(tuple(COLOURS.values())), 0.25)
    left, right, top, step = 14.0, 210.0, random.uniform(16, 24), random.uniform(44, 47)
    middle = random.uniform(140, 150)
    canvas.board((left, top, right, top + step), shade)
    for line in range(len(ROWS) + 2):
        canvas.line((left, top + line * step), (right, top + line * step), INK, 1.5)
    for x in (left, middle, right):
        canvas.line((x, top), (x, top + (len(ROWS) + 1) * step), INK, 1.5)
    cells = [("Item", "Price"), *((scene.values[f"item{row}"], scene.values[f"price{row}"]) for row in ROWS)]
    case = random.choice((str.capitalize, str.lower))
    widest = max(canvas.width(case(item), face=face, size=size) for item, _ in cells[1:])
    size *= min(1.0, (middle - left - 14) / widest)
    for row, (item, price) in enumerate(cells):
        y = top + (row + 0.5) * step
        small = size * (0.6 if row == 0 else 1)
        canvas.text(case(item), (left + 7, y), face=face, size=small, colour=INK, anchor="lm")
        canvas.text(case(price), (right - 7, y), face=face, size=small, colour=INK, anchor="rm")


def _price_of(row: int) -> Slot:
    item, price = f"{{item{row}}}", f"{{price{row}}}"
    return Slot(
        name=f"price{row}",
        skill="table",
        domain=TABLE_PRICES,
        questions=(
            f"What is the price of {item} in the table?",
            f"How much is {item}?",
            f"Which price is listed for {item}?",
        ),
        statements=(
            f"The price of {item} is {price}.",
            f"The table lists {item} at {price}.",
            f"For {item} one pays {price}.",
        ),
    )


TABLE = Layout(
    name="table",
    kind="table",
    slots=tuple(_price_of(row) for row in ROWS),
    propose=_propose_table,
    together=tuple((f"price{row}",) for row in ROWS),
    draw=_draw_table,
    more=_table_more,
    possible=_all_differ,
)
LAYOUTS = (DOCUMENT, TABLE)
