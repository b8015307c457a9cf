//! What tests and benches of real processes share. It must not link anything of the product.

pub mod answer;
pub mod place;
pub mod wait;
