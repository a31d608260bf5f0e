//! What test output means: TAP in, verdicts out. No VM, no terminal.
