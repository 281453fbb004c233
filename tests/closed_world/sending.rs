//! Ways to make the kernel send: none reaches the wire.
