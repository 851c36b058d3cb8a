"""Portuguese, as written in Brazil and in Portugal."""

from __future__ import annotations

from xmguard.languages.local import NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt

_SMALL = {
    word: n
    for n, words in enumerate(
        (
            "zero",
            "um uma",
            "dois duas",
            "tres",
            "quatro",
            "cinco",
            "seis",
            "sete",
            "oito",
            "nove",
            "dez",
            "onze",
            "doze",
            "treze",
            "catorze quatorze",
            "quinze",
            "dezesseis dezasseis",
            "dezessete dezassete",
            "dezoito",
            "dezenove dezanove",
        )
    )
    for word in words.split()
}
_TENS = "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa"
_HUNDREDS = "duzent trezent quatrocent quinhent seiscent setecent oitocent novecent"


def _spelled() -> dict[str, int]:
    """0 to 999, in both genders."""
    below = dict(_SMALL)
    for tens, word in enumerate(_TENS.split(), 2):
        below[word] = 10 * tens
        below |= {f"{word}e{one}": 10 * tens + n for one, n in _SMALL.items() if 0 < n < 10}
    found = below | {"cem": 100, "cento": 100} | {f"centoe{word}": 100 + n for word, n in below.items() if n}
    for hundreds, stem in enumerate(_HUNDREDS.split(), 2):
        for hundred in (f"{stem}os", f"{stem}as"):
            found[hundred] = 100 * hundreds
            found |= {f"{hundred}e{word}": 100 * hundreds + n for word, n in below.items() if n}
    return found


PORTUGUESE = Tables(
    tag="pt",
    name="Portuguese",
    numbers=NumberWords(
        spelled=_spelled(),
        scales={
            "mil": 10**3,
            **dict.fromkeys(("milhao", "milhoes"), 10**6),
            **dict.fromkeys(("bilhao", "bilhoes"), 10**9),
            **dict.fromkeys(("biliao", "bilioes", "trilhao", "trilhoes"), 10**12),
            **dict.fromkeys(("triliao", "trilioes"), 10**18),
        },
        joiner="e",
        never_alone=frozenset({"um", "uma", "cento"}),
        bare_scales=frozenset({"mil"}),
        half_of="meio|meia",
        and_half="e mei[oa]",
    ),
    months=(
        "janeiro jan",
        "fevereiro fev",
        "marco mar",
        "abril abr",
        "maio mai",
        "junho jun",
        "julho jul",
        "agosto ago",
        "setembro set",
        "outubro de_out",
        "novembro nov",
        "dezembro dez",
    ),
    weekdays="segunda-feira terca-feira quarta-feira quinta-feira sexta-feira sabado domingo",
    date_after_day=r"\.?[o°]?",
    date_between=r"(?:\s+de)?\s+",
    date_separators="/.-",
    times=(
        r"as (?P<hour>\d{1,2}) ?(?:h|horas e) ?(?P<minute>\d{2})(?: ?min(?:utos)?)?",
        r"(?P<hour>\d{1,2}) ?h ?(?P<minute>\d{2})(?: ?min(?:utos)?)?",
        r"(?:as )?(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?(?: ?h(?:oras)?)? "
        r"(?:(?P<am>da (?:manha|madrugada))|(?P<pm>da tarde)|(?P<night>da noite))",
        r"as (?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?: ?h(?:oras)?)?",
        r"\bas (?P<hour>\d{1,2})(?: ?h(?:oras)?)?(?=\W*$|[^\w ]| (?:em|do|no|na|e|ate)\b)",
    ),
    units={
        "%": "por_cento porcento pontos_percentuais",
        "km": "quilometros quilometro",
        "m": "metros metro",
        "cm": "centimetros centimetro",
        "mm": "milimetros milimetro",
        "mi": "milhas milha",
        "in": "polegadas polegada pol",
        "ft": "pes pe",
        "yd": "jardas jarda",
        "g": "gramas grama",
        "mg": "miligramas miligrama",
        "kg": "quilogramas quilograma quilos quilo",
        "t": "toneladas tonelada toneladas_metricas tonelada_metrica",
        "oz": "oncas onca",
        "l": "litros litro",
        "ml": "mililitros mililitro",
        "s": "segundos",
        "min": "minutos minuto",
        "h": "horas hora",
        "day": "dias dia",
        "week": "semanas semana sem",
        "month": "meses mes",
        "year": "anos ano",
        "m2": "metros_quadrados metro_quadrado",
        "km2": "quilometros_quadrados quilometro_quadrado",
        "mi2": "milhas_quadradas milha_quadrada",
        "ha": "hectares hectare",
        "acre": "acres acre ac",
        "km/h": "quilometros_por_hora quilometro_por_hora",
        "mph": "milhas_por_hora milha_por_hora",
        "°c": "graus_celsius grau_celsius graus_centigrados",
        "°f": "graus_fahrenheit grau_fahrenheit",
        "w": "watts watt",
        "kw": "quilowatts quilowatt",
        "mw": "megawatts megawatt",
        "person": "pessoas pessoa",
        "usd": "dolares dolar dolares_americanos",
        "eur": "euros euro",
        "gbp": "libras_esterlinas libra_esterlina",
        "try": "liras_turcas lira_turca",
        "isk": "coroas_islandesas",
        "cny": "yuans yuan iuanes iuan",
        "jpy": "ienes iene",
        "cent": "centavos centavo centimos centimo",
        "brl": "reais",
    },
    yes=r"sim|verdadeiro|verdade|correto|certo",
    no=r"nao|falso|incorreto|errado",
    unknown=(
        r"\bnao (?:se )?(?:diz|menciona|especifica|indica|sabe|informa|esclarece|fornece|consta)m?\b"
        r"|\bnao (?:e|esta|foi|ha|sao) (?:mencionad|especificad|indicad|informad|conhecid|clar|possivel)"
        r"|^\W*(?:eu )?nao sei|(?:^|\b(?:e|sao|esta|continua|permanece) )\W*desconhecid[oa]s?\W*$|\bnao (?:ha"
        r"|existe|contem|da) (?:nenhuma )?(?:informac|resposta)"
        r"|\bsem informac|\bnenhuma informac"
    ),
    conflict=(
        r"\bcontradi\w*|\bdiscorda\w*|\bdivergen\w*|\bdivergem|\bincompativ\w*|\bem conflito|\bdiscrepanci\w*"
        r"|\binconsisten\w*|\buma fonte\b.*\boutra\b"
    ),
    no_conflict=(
        r"\bnao (?:(?:se|ha|existem?|sao|e|estao|parecem?|encontr\w+|vejo|nenhuma|uma|claras?|evidentes?|estar"
        r"|ser|haver) ){0,5}(?:contradi|discorda|diverg|incompativ"
        r"|discrepanc|em conf"
        r"|inconsist)|\bsem (?:contradi|diverg|discrepanc)|\bnenhuma (?:contradi|diverg|discrepanc)"
    ),
    asks_number=(
        r"\bquant[oa]s?\b|\bquando\b|\b(?:em )?que (?:ano|data|dia|mes|hora|seculo|idade|percentagem"
        r"|porcentagem|numero)\b"
        r"|\bqual (?:ano|data|idade|porcentagem|numero)"
    ),
    function_words="""
        o a os as um uma uns umas de do da dos das em no na nos nas ao aos e ou que sao foi foram era eram ser esta
        estao estava ha havia tem por para com como lhe este esta isto esse essa isso cerca aproximadamente quase
        exatamente total tambem muito ja pelo pela qual quais quem onde quando quanto quanta quantos quantas
        porque se resposta fonte fontes texto segundo
    """,
    telling="mais menos sobre ate desde entre antes depois nao apenas so",
    unit_link="(?:de )?",
    prompt_text=PromptText(
        preamble="Aqui estão algumas fontes.\n\n",
        tasks={
            Prompt.STANDARD: "\n\nUsando todas as fontes acima, responda a esta pergunta em português.\n{question}",
            Prompt.INSTRUCTED: (
                "\n\nUsando todas as fontes acima, responda a esta pergunta em português. "
                "Se as fontes se contradizem, relate a contradição.\n{question}"
            ),
            Prompt.EXPLICIT: (
                '\n\nCada uma das fontes acima levaria à mesma resposta para a pergunta "{question}"? '
                "Responda sim ou não em português e depois explique."
            ),
        },
        alone_task="\n\nPergunta: {question}\nResponda em português.",
        alone_opening="Resposta curta:",
    ),
    ranges=("entre # e #", "(?<!de )# a #"),
    fraction=r"(?:tercos?|quartos?|quintos?|sextos?|setimos?|oitavos?|nonos?|decimos?|centesimos?|metade)\b",
    but="mas|porem|embora|no entanto|enquanto",
    when="em|no ano de|no ano",
    minus=r"(?<!\bpelo )(?<!\bao )(?<!\bou )menos",
    unread=r"\bas (?:\S+ ){1,3}e meia\b|\bum quarto\b|\bduzias?\b|\b(?:dez|cent)enas?\b|\bmilhar(?:es)?\b"
    r"|\babaixo de zero\b|\d (?:graus?|°c) negativos?\b|\b(?:varios|alguns) mil\b",
    abbreviations="sr sra dr dra prof exmo p ex etc",
)
