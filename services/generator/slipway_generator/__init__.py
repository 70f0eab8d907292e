"""One loaded model flavor behind one engine protocol. It knows no gateway, no retriever and no passages: tokens in, tokens out."""
