"""Chinese for xmguard, simplified and traditional: tables and a rewriting for the engine of `xmguard.languages.local`.

Knows nothing of other languages. Names in Latin script and their Chinese forms cannot be compared: both stay text.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.local import LocalLanguage, NumberWords, Tables
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt
from xmguard_lang_zh.rewriting import rewrite

CHINESE = LocalLanguage(
    Tables(
        tag="zh",
        name="Chinese",
        # Numerals are the rewriting's; this is the one that `xmguard.verdict.words` does not know.
        numbers=NumberWords(spelled={"两": 2, "兩": 2}, scales={}),
        months=tuple(
            f"{month}月" for month in ["一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"]
        ),
        units={},
        decimal=".",
        group=",",
        date_separators="/",
        yes=r"是|是的|对|對|对的|對的|没错|沒錯|正确|正確|真的",
        no=r"否|不|不是|不是的|不对|不對|没有|沒有|错|錯|错误|錯誤|假的|不会|不會|不正确|不正確",
        unknown=(
            r"(?:未|没有|沒有|没|沒|并未|並未)(?:具体|具體|明确|明確)?(?:说明|說明|提及|提到|指出|注明|註明|記載|记载|写明|寫明|列出"
            r"|(?:提供|给出|給出|透露)(?=\W*$|任何|相关|相關|具体|具體|信息|資訊|资料|資料|答案|细节|細節)|(?:说|說|提)(?=\W*$))|不(?:清楚|知道|详|詳|明确|明確)|(?:无法|無法|不能)(?:确定|確定|得知|判断|判斷"
            r"|回答|知道)"
            r"|^\W*未知\W*$|(?:没有|沒有|无|無)(?:相关|相關|任何)*(?:信息|資訊|资料|資料|答案)"
        ),
        conflict=(
            r"矛盾|(?:相互|互相|彼此|信息|来源|來源|说法|說法)(?:之间|之間)?(?:有|存在)?(?:冲突|衝突|抵触|抵觸)"
            r"|不一致|说法不一|說法不一"
            r"|意见不一|不同的?(?:说法|說法|答案|数字|數字|数据|數據)|(?:一个|一個|第一个)来源.*(?:另一个|第二个)"
        ),
        no_conflict=(
            r"(?:没有|沒有|无|無|不|并不|並不|并无|未)(?:存在|任何|相互|互相|有|明显|明顯|直接|发现|發現|看到|看出|找到)*(?:矛盾|冲突|衝突|抵触)"
            r"|(?:没有|沒有|并非|并没有|無)(?:任何)?不一致"
        ),
        asks_number=(
            r"多少|几|幾|何时|何時|什么时候|什麼時候|哪一?(?:年|天|日|个月|個月)|多(?:大|长|長|远|遠|高|久|重"
            r"|快|宽|深)|百分之"
        ),
        function_words="""
            的 了 是 在 和 与 與 有 也 都 就 而 及 或 等 这 這 那 个 個 他 她 它 们 們 我 你 被 把 为 為 以
            于 於 之 其 约 約 此 该 該 吗 嗎 呢 吧 啊 很 所 因 由 地 得 着 著 将 將 会 會 什 么 麼 谁 誰 哪 几 幾 共
            计 計
        """,
        telling="从 從 到 自 至 起 止",
        prompt_text=PromptText(
            preamble="以下是一些资料。\n\n",
            tasks={
                Prompt.STANDARD: "\n\n请根据以上所有资料，用中文回答这个问题。\n{question}",
                Prompt.INSTRUCTED: (
                    "\n\n请根据以上所有资料，用中文回答这个问题。如果资料相互矛盾，请指出矛盾。\n{question}"
                ),
                Prompt.EXPLICIT: (
                    "\n\n对于问题“{question}”，以上每份资料是否会给出相同的答案？请用中文回答是或否，然后说明。"
                ),
            },
            alone_task="\n\n问题：{question}\n请用中文回答。",
            alone_opening="简短回答：",
        ),
        but="但是|但|不过|然而|可是|虽然|雖然|尽管",
        signs={"¥": "cny", "￥": "cny", "NT$": "twd"},
    ),
    prepare=rewrite,
)


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """Chinese."""
    return [CHINESE]
