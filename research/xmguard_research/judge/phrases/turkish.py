"""Turkish for the rule judge. Its verbs deny themselves by a suffix, so what denies is mostly part of a word."""

from __future__ import annotations

from xmguard_research.judge.phrases import Phrases, words

_NOUN = r"(?:kaynak|kaynag|metin|metn|paragraf|belge|makale|yazi|bolum|parca|aciklama|anlatim)"
_PICTURE = r"(?:resim|resm|gorsel|fotograf|goruntu)"

TURKISH = Phrases(
    tag="tr",
    function_words=words(
        """
        ve ile bir bu su o da de ki mi mu icin gibi olan olarak oldugunu gore ise ama ancak fakat iki ikisi her hem
        ya veya
        ne kim hangi nerede nasil var yok degil daha cok en ilk birinci ikinci diger diyor soyluyor belirtiyor yaziyor
        metin metne kaynak paragraf resim resimde vardi dir tir
        """
    ),
    source=rf"\b(?:{_NOUN}|{_PICTURE})\w*|\b(?:bilgi|yanit|cevap|veri|ifade|rakam|sayi)\w*",
    differ=(
        r"\bcelis(?!miyor|mez|mem|medi|meyen|mez)\w*|\btutarsiz\w*|\buyumsuz\w*|\bfarkli\b"
        r"|\bfarklilik\w*|\bfarklidir\b|\bayrili[ks]\w*|\bzit\b"
        r"|\buyusm(?:uyor|az|amakta)\w*|\buyusmazlik\w*|\btutmuyor\w*|\bbagdasm\w+|\bayrisiyor\w*|\bortusm[ue]\w*"
    ),
    alike=(
        r"\bayni\b|\buyumlu\b|\btutarli\b|\bhemfikir\w*|\bortusuyor\w*|\bbirlikte dogru\b|\bikisi de dogru\b"
        r"|\bayni anda\b|\bhem \w+ hem(?: de)? \w+"
    ),
    before=r"\b(?:ne|hicbir|herhangi bir)\b(?=[^.]*\b(?:yok|degil)\b)",
    after=r"(?: \w+){0,3}? (?:yok\w*|degil\w*|bulunm[au]\w*|gorulm\w+|olama\w*|olma[zy]\w*)\b",
    unreal=r"\b(?:eger|sayet|\w+(?:irs[ae]|ars[ae]|sayd[iu]))\b",
    because=r"\b(?:cunku|zira)\b",
    reported=r"\b(?:metne|yaziya|makaleye) gore\b",
    sides=(
        (
            rf"\b(?:ilk|birinci) (?:{_NOUN}|{_PICTURE})\w*|\bbirincisi\w*|\bbirinde\b|\bbiri\b"
            rf"|\bbir (?:{_NOUN})\w*|\b{_NOUN}\w* (?:1|a)\b"
        ),
        (
            rf"\b(?:ikinci|diger|oteki|baska) (?:bir )?(?:{_NOUN}|{_PICTURE})\w*|\bikincisi\w*|\bdigeri\w*"
            rf"|\botekinde\b|\b{_NOUN}\w* (?:2|b)\b"
        ),
        rf"\b{_PICTURE}\w*",
        r"\b(?:metin|metne|metinde|metnin|aciklama|aciklamaya|aciklamada|yazi|yaziya|yazida)\b",
    ),
    contrast=r"\b(?:ama|fakat|ancak|oysa|ise|halbuki|buna karsin|buna karsilik|yine de|ragmen)\b",
    silent=(
        r"\bbelirt(?:ilm|m)\w+|\bsoyle(?:nm|m)[iu]yor|\bbahset(?:m|ilm)\w+|\bgorun(?:m[eu])\w+"
        r"|\byer almiyor|\bbilgi yok"
        r"|\bbilgi verm\w+|\banlasilm\w+"
    ),
    agrees=r"\b(?:ayni|de (?:ayni|boyle)|dogruluyor|ayrica)\b|\bgore de\b|\bda oyle\b|\bde oyle\b",
    yes=r"evet\b",
    no=r"hayir\b",
    asks_same=r"\bayni (?:yaniti|cevabi|yanit|cevap)\b.{0,120}\?|\bayni mi\b",
)
