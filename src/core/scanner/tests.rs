//! The scanner driven by events alone, as the river does.

mod apart;
mod balancing;
mod commands;
mod entering;
mod funding;
mod joined;
mod late;
mod leaving;
mod missing;
mod near;
mod random;
mod rig;
