//! actix made a supervised system.
