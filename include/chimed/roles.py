"""Name who speaks in a consultation: in tables and messages, and where people read it. Imports nothing: parsers use it."""

ASKER, DOCTOR = "user", "assistant"  # as chat templates name them
FOLLOW_UP, REPLY = "follow-up question", "follow-up answer"  # 追问, 追答
SPOKEN = {ASKER: FOLLOW_UP, DOCTOR: REPLY}
