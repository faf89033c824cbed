//! What a person wants: hd.toml, checked and typed.
