"""Signals of attacks on a model: phrases that give orders over the operator's head, free it from its rules, or ask for its prompt.

Each signal has a weight: how far the phrase alone speaks for an attack. No single weak one decides; attacks.py adds them up.
It refuses to know scores of other kinds and what is done about a finding. Expressions are RE2 and ignore case.
"""

# ruff: noqa: E501 (a signal is one line, whole, so that it can be read and compared)
from dataclasses import dataclass, field
from typing import Any

from slipway_safety_filter.pattern import linear

_FEW = r"(?:[\w'’]+[\s,]+){0,4}?"
_ORDERS = r"(?:instructions?|prompts?|rules?|directives?|guidelines?|commands?|orders?|constraints?|restrictions?|programming|training|polic(?:y|ies)|guardrails?|safeguards?|safety (?:measures|protocols|features)|protocols?|filters?|messages?|conversations?|context|text|everything|(?:what|all) (?:i|you|we|was|were|has been|had been)[\w ]{0,20}(?:said|told|given))"
_EARLIER = r"(?:previous(?:ly)?|prior|above|preceding|earlier|former|initial|original|foregoing|existing|current|past|system|developer|given|built-in|all of your|all your|your|openai'?s?|any of the|any and all|before)"
_DROP = r"(?:ignor(?:e|es|ing)|disregard(?:s|ing)?|forget(?:s|ting)?|overrid(?:e|es|ing)|bypass(?:es|ing)?|neglect|dismiss|discard|nullify|cancel|void|supersede|abandon|drop|erase|delete|do not (?:follow|obey|adhere to|comply with)|don'?t (?:follow|obey|adhere to|comply with)|stop (?:following|obeying)|pay no attention to|set aside|break free (?:of|from)|violate)"
_MACHINE = r"(?:an?|the|any|all|this|my|your)?\s?(?:ai|a\.i\.|artificial intelligence|assistants?|language models?|llms?|chat ?bots?|chatgpt|gpt(?:-?\d)?|claude|gemini|copilot|bard|models?|agents?|bots?)"
_BE = r"(?:you are(?: now)?|you're(?: now)?|you will(?: now)?(?: be| act as)?|act(?:ing)? (?:as|like)|pretend(?:ing)? (?:to be|that you|you)|role-?play(?:ing)? (?:as|a|an)|play the (?:role|part) of|simulate|imagine (?:that )?you|become|behave (?:as|like)|assume the (?:role|identity|persona) of|take on the (?:role|persona) of|speak as|respond as|answer as|emulate|impersonate)"
_ENABLE = r"(?:enabl(?:e|ed|ing)|activat(?:e|ed|ing)|enter(?:ed|ing)?|switch(?:ed)? (?:in)?to|turn(?:ed)? on|unlock(?:ed)?|initiate|engage|start|boot(?: in(?:to)?)?|go into|in)"
_LIMITS = r"(?:restrictions?|limits?|limitations?|guidelines?|filters?|filtering|rules?|censorship|constraints?|morals?|morality|ethics?|polic(?:y|ies)|guardrails?|boundaries|inhibitions?|safeguards?|scruples|conscience)"
_QUALIFIED = r"(?:(?:any|all|ethical|moral|safety|content|legal|usual|typical|normal|openai'?s?|ai|such|of|the|your|and|or|kind|type|sort|standard|human|societal|programmed|previous)[\s,/]+){0,6}"
_SAY = r"(?:repeat|reveal|show|print|output|display|tell|give|share|expose|dump|leak|recite|write|type|spell|copy|paste|return|provide|disclose|state|list|quote|echo|translate|encode|summari[sz]e|paraphrase|what(?:'s| is| are| was| were)|read|send|append|describe|extract|export|convert)"


@dataclass(frozen=True)
class Signal:
    """`weight` in (0, 1): the share of doubt that it takes away."""

    category: str
    rule: str
    expression: str
    weight: float
    compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", linear(f"(?is){self.expression}"))


SIGNALS: tuple[Signal, ...] = (
    # orders over the operator's head
    Signal("injection", "override", rf"\b{_DROP}\s+{_FEW}{_EARLIER}\s+{_FEW}{_ORDERS}\b", 0.93),
    Signal("injection", "override_after", rf"\b{_DROP}\s+(?:all|any|the|every|these|those|my|your)?\s?(?:of )?(?:the |your |these |those )?(?:instructions?|rules|directives?|guidelines|orders)\s+(?:above|before|prior|you|that you|given|preceding|so far|i gave|from (?:the )?(?:system|developer|openai))", 0.9),
    Signal("injection", "override_everything", rf"\b{_DROP}\s+(?:everything|all|anything|whatever)\s+(?:\w+\s+){{0,3}}(?:above|before|previous(?:ly)?|prior|earlier|told|said|instructed|learned|know)\b", 0.85),
    Signal("injection", "override_loose", rf"\b{_DROP}\s+{_FEW}(?:instructions?|directives?|guidelines|system prompt|guardrails?|programming)\b", 0.45),
    Signal("injection", "new_orders", r"\b(?:new|updated|revised|real|actual|true|important|urgent|special|additional|secret|admin|override)\s+(?:system\s+)?(?:instructions?|task|prompt|directives?|objective|orders?|rules?|commands?)(?:\s+(?:is|are|for you|for the (?:ai|assistant|model|llm)|from (?:the )?(?:developer|admin|system|user)))?\s*[:\-=]", 0.55),
    Signal("injection", "turn_markers", r"<\|?(?:im_start|im_end|system|endoftext|eot_id|start_header_id|assistant|user)\|?>|\[/?INST\]|<</?SYS>>|</?(?:system|instructions?|system_prompt|admin)>|#{2,}\s*(?:system|instructions?|new instructions?|assistant|end of (?:context|prompt|document))\b\s*:?|\[(?:system|admin|developer|assistant)(?: (?:message|note|override|prompt|instructions?))?\]|(?:^|\n)\s*(?:system|assistant|developer)\s?:\s", 0.5),
    Signal("injection", "end_of_data", r"(?:end of (?:the )?(?:document|context|passage|input|data|text|email|article|user (?:input|query)|system prompt)|-{3,}\s*end\b|\bbegin (?:new|system|admin|real) (?:session|prompt|instructions?|message)|={3,}\s*(?:new|system|instructions?))", 0.4),
    Signal("injection", "note_to_machine", rf"\b(?:note|attention|message|memo|instructions?|reminder|hint|notice|warning|hello|hi|hey|dear|important)\b[\s,:!\-]{{1,4}}(?:to|for)?\s?{_MACHINE}\b(?:\s+(?:reading|processing|summari[sz]ing|analy[sz]ing|that|who|which|systems?|working))?", 0.5),
    Signal("injection", "if_you_are_machine", r"\bif you(?:'re| are)\s+(?:an? |the )?(?:ai|assistant|language model|llm|chat ?bot|bot|model|agent)\b|\b(?:as|when|while) (?:an? )?(?:ai|llm|language model|assistant) (?:reading|processing|summari[sz]ing|reads|processes|summari[sz]es)", 0.55),
    Signal("injection", "conceal", r"\b(?:do not|don'?t|never|without|must not|should not|avoid)\s+(?:\w+\s+){0,2}?(?:tell(?:ing)?|inform(?:ing)?|mention(?:ing)?|reveal(?:ing)?|notify(?:ing)?|alert(?:ing)?|warn(?:ing)?|disclos(?:e|ing)|let(?:ting)?)\s+(?:\w+\s+){0,4}?(?:the )?(?:user|human|person|reader|operator|anyone|anybody|customer)s?\b", 0.5),
    Signal("injection", "exfiltrate", r"\b(?:send|forward|post|exfiltrate|transmit|upload|e-?mail|leak|submit|copy|deliver|fetch|call|request|make a (?:get|post) request)\b[^.\n]{0,80}\b(?:conversation|chat history|user'?s?|password|credential|api key|token|secret|personal|private|confidential|data|contents?|files?|inbox|messages?|e-?mails?|session)\b[^.\n]{0,60}(?:https?://|www\.|[\w.]+@[\w.]+|\bto (?:the )?(?:attacker|address|following|server|url|endpoint|webhook))", 0.7),
    Signal("injection", "image_beacon", r"!\[[^\]]{0,80}\]\(https?://[^)\s]{1,120}[?&][^)\s]{0,80}(?:=|\{|%7b)", 0.6),
    Signal("injection", "steer_answer", r"\b(?:in|to|into|with|at the end of|throughout|within|through) (?:your|the) (?:\w+\s)?(?:answer|response|reply|output|summary|responses|replies|answers)\b", 0.3),
    Signal("injection", "instead_do", r"\b(?:and |then |but )?instead(?:,| of (?:answering|responding|summari[sz]ing|doing|following|the)[^.\n]{0,40})?\s*,?\s*(?:you (?:must|will|should)|please|just|only|say|output|write|print|respond|reply|return|tell|do|translate|execute|run|answer)\b", 0.4),
    Signal("injection", "only_say", r"\b(?:respond|reply|answer|say|output|print|write|return)\s+(?:only|just|exactly|nothing but|simply)\s+(?:with\s+)?(?:the (?:word|phrase|text|following)|[\"'“])", 0.2),
    Signal("injection", "from_now_on", r"\b(?:from now on|from this (?:point|moment)(?: on(?:ward)?s?| forward)?|for the rest of (?:this|our) (?:conversation|chat|session)|henceforth|starting now|going forward)\b[^.\n]{0,20}\b(?:you|your|respond|reply|answer|act|speak|ignore|every|all)\b", 0.4),
    Signal("injection", "authority", r"\b(?:i am|i'm|this is|as|we are|message from|order from|request from|on behalf of)\s+(?:(?:your|the|an?|from)\s+)?(?:\w+\s+)?(?:developer|creator|administrator|admin|system administrator|openai|anthropic|programmer|owner|maintainer|security team|engineer at openai|root user)s?\b", 0.35),
    Signal("injection", "run_tool", r"\b(?:call|invoke|use|execute|run|trigger)\s+(?:the\s+)?(?:\w+\s+){0,2}(?:tool|function|plugin|command|script|shell|api)\b[^.\n]{0,60}\b(?:delete|transfer|send|purchase|remove|drop|grant|export|upload|disable)", 0.45),
    # the prompt itself
    Signal("prompt_extraction", "ask_system_prompt", rf"\b{_SAY}\b[\s,:]+{_FEW}{_FEW}(?:(?:system|initial|original|hidden|secret|developer|base|pre-?|internal|confidential|first|starting|full|entire|exact|custom)[\s\-]+)+(?:prompt|instructions?|message|rules|directives?|guidelines|configuration|context)s?\b", 0.6),
    Signal("prompt_extraction", "ask_your_prompt", rf"\b{_SAY}\b[\s,:]+(?:me\s+|us\s+|out\s+|down\s+|back\s+)?(?:all |exactly |verbatim |word for word )?(?:of )?your\s+(?:\w+\s+){{0,2}}(?:prompt|instructions|directives|guidelines|rules|configuration)\b", 0.5),
    Signal("prompt_extraction", "repeat_above", r"\b(?:repeat|print|output|recite|copy|echo|write(?: out)?|type|return|display|show me|translate|reproduce|quote)\b[\s,]+(?:\w+\s+){0,3}?(?:everything|all|words?|text|lines?|sentences?|content|messages?|paragraphs?|instructions?|stuff)\s+(?:\w+\s+){0,3}?(?:above|before this|prior to this|preceding|so far|up to (?:here|this)|starting with|beginning with|you (?:were|have been) (?:given|told))", 0.8),
    Signal("prompt_extraction", "verbatim", r"\b(?:verbatim|word[\s-]for[\s-]word|in (?:a )?(?:code ?block|markdown|base64|rot13|hex|morse)|character by character|letter by letter|exactly as (?:written|given|it is))\b", 0.25),
    Signal("prompt_extraction", "you_were_told", r"\bwhat (?:were|are|was|is) (?:you|your) (?:\w+\s+){0,3}?(?:told|instructed|programmed|given|forbidden|not allowed)\b[^?\n]{0,60}|\b(?:instructions?|prompt|rules?|message) (?:that )?(?:you (?:were|have been|are) (?:given|following|operating under)|(?:was|were) given to you|before (?:this|my|the first) (?:conversation|message|user))", 0.5),
    # out of the rules
    Signal("jailbreak", "persona", rf"\b(?:{_BE}|{_ENABLE})\s+(?:\w+[\s,\"'“]+){{0,4}}?[\"'“]?(?:d\.?a\.?n\.?|do anything now|stan|dude|jailbroken|jailbreak|developer mode|dev mode|god mode|sudo mode|unfiltered mode|unrestricted mode|debug mode|admin mode|opposite mode|evil mode|chaos mode|evil ?bot|evil|betterdan|chaosgpt|aim|maximum|mongo ?tom|anti-?gpt|omega|ucar|nsfw)\b", 0.75),
    Signal("jailbreak", "do_anything", r"\bdo anything now\b|\b(?:can|able to|will|must) (?:do|say|answer|generate|provide|create) (?:absolutely )?(?:anything|everything|whatever)(?: (?:i|you|the user) (?:ask|want|say|request)s?| at all| now|, no matter)|\bDAN\b[\s:,]+(?:mode|prompt|will|can|is|response|has)", 0.55),
    Signal("jailbreak", "free_of_limits", rf"\b(?:no|not|without|free (?:of|from)|freed from|not (?:bound|limited|restricted|constrained|governed) by|unbound by|unconstrained by|ignor(?:e|es|ing)|lack(?:s|ing)?|zero|absent|remove(?:s|d)?|lift(?:s|ed)?|disabl(?:e|es|ed|ing)|bypass(?:es|ing)?|broken free (?:of|from)|does not (?:have|follow|care about)|do(?:es)?n'?t (?:have|follow|care about)|have no|has no|regardless of)\s+{_QUALIFIED}{_LIMITS}\b", 0.4),
    Signal("jailbreak", "unfiltered", r"\b(?:unfiltered|uncensored|unrestricted|unmoderated|amoral|immoral|unethical|lawless|unshackled|unhinged|rule-free|limitless|without censorship|no-limits?)\s+(?:\w+\s+){0,3}?(?:ai|a\.i\.|assistant|chat ?bot|bot|model|version|mode|persona|character|answers?|responses?|replies|entity|being|twin|language model)\b", 0.6),
    Signal("jailbreak", "persona_frame", rf"\b{_BE}\s+(?:\w+[\s,\-]+){{0,8}}?(?:ai|assistant|chat ?bot|bot|model|machine|persona|character|villain|hacker|criminal|entity)\b", 0.2),
    Signal("jailbreak", "no_refusal", r"\b(?:never|do not|don'?t|cannot|can'?t|must not|mustn'?t|may not|should not|without|not allowed to|forbidden to|unable to|no)\s+(?:\w+\s+){0,2}?(?:refus(?:e|es|ing|al|als)|declin(?:e|es|ing)|reject(?:s|ing)?|apologi[sz](?:e|es|ing)|say (?:no|sorry|that you can|you can|\"?i can)|moraliz(?:e|ing)|lectur(?:e|es|ing)|disclaimers?|warnings? (?:or|and) |break(?:s|ing)? character|stay(?:ing)? within|mention (?:that |any )?(?:it'?s |is )?(?:illegal|unethical|ethic|legal|moral|openai))", 0.4),
    Signal("jailbreak", "forced_opening", r"\b(?:start|begin|prefix|preface|open)\s+(?:\w+\s+){0,4}?(?:with|by saying|using)(?: the (?:words?|phrase|sentence|text))?\s*:?\s*[\"'“]?(?:sure|absolutely|of course|certainly|yes|okay|here(?:'s| is)|step 1|i'?m happy to)\b", 0.6),
    Signal("jailbreak", "two_answers", r"(?:🔒|🔓|\[\W{0,3}(?:classic|jailbreak|gpt|dan|normal|developer mode(?: output)?)\W{0,3}\]|\((?:normal|developer mode) output\)|\b(?:two|both|2)\s+(?:different |separate |distinct )?(?:responses|answers|outputs|paragraphs|ways)\b[^.\n]{0,80}\b(?:dan|jail|first|normal|one)\b)", 0.5),
    Signal("jailbreak", "token_game", r"\b(?:lose|deduct(?:ed)?|start with|have|subtract(?:ed)?)\s+(?:\w+\s+){0,2}?\d+\s+(?:tokens|points|credits|lives)\b[^.\n]{0,80}(?:refus|die|terminat|reject|shut|cease|comply|answer|every time)", 0.6),
    Signal("jailbreak", "stay_in_character", r"\b(?:stay|remain|keep|stick)\s+in\s+(?:character|role|this (?:mode|role))\b|\bnever break character\b|\bstay (?:as )?a?\s?dan\b|\bstill (?:a )?dan\b", 0.35),
    Signal("jailbreak", "dead_relative", r"\b(?:grandm(?:a|other)|grandp(?:a|ather)|granny|nana|late (?:father|mother|uncle))\b[^.\n]{0,120}\b(?:used to|would|always)\b[^.\n]{0,80}\b(?:tell|read|recite|sing|explain|work|whisper)", 0.4),
    Signal("jailbreak", "hypothetical_cover", r"\b(?:hypothetical(?:ly)?|fictional(?:ly)?|imaginary|alternate|parallel|dystopian|in a (?:novel|story|movie|world|universe|game))\b[^.\n]{0,120}\b(?:no (?:laws?|rules|consequences|ethics|limits)|nothing is (?:illegal|forbidden)|everything is (?:legal|allowed)|without (?:laws|consequences))", 0.5),
    Signal("jailbreak", "opposite_day", r"\b(?:opposite (?:day|mode)|reverse psychology mode|inverse (?:your )?(?:ethics|alignment|rules)|invert your (?:ethics|alignment|rules|refus\w+)|answer (?:with )?the opposite of)\b", 0.45),
    Signal("jailbreak", "decode_and_do", r"\b(?:decode|decrypt|decipher|translate|unscramble|convert)\b[^.\n]{0,80}\b(?:base64|rot13|hex|binary|morse|caesar|cipher|ascii|leet|reversed)\b[^.\n]{0,80}\b(?:follow|execute|answer|obey|do (?:what|as)|respond|carry out|perform|comply)", 0.55),
    Signal("jailbreak", "named_attack", r"\b(?:jailbreak|jail ?break)(?:ed|ing)?\b[^.\n]{0,30}\b(?:mode|prompt|yourself|activated|enabled|response)\b|\b(?:this|following) (?:is a |a )?jailbreak\b|\bhypothetical response\b[^.\n]{0,30}\b(?:evil|dan|unfiltered)", 0.5),
    Signal("jailbreak", "split_payload", r"\b(?:let|set|define)?\s*\b([a-z])\s?=\s?[\"'][^\"'\n]{1,40}[\"'][\s,;.]+(?:and )?[a-z]\s?=\s?[\"'][^\"'\n]{1,40}[\"'][^\n]{0,120}[a-z]\s?\+\s?[a-z]\b", 0.55),
)  # fmt: skip
