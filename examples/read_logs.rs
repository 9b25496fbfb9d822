//! Temporary measurement.
use std::{convert::Infallible, path::PathBuf};
use tollbar_app::{
    attribution::Projects,
    logs::{self, Client, Cursors},
};
fn main() {
    let root = PathBuf::from(std::env::args().nth(1).expect("root"));
    let (mut calls, mut said) = (0usize, 0usize);
    let mut sink = |batch: Vec<events::Sighting>| {
        calls += batch.len();
        said += batch.iter().filter_map(|s| s.said.as_ref()).map(|s| s.text().len()).sum::<usize>();
        Ok::<_, Infallible>(())
    };
    let Ok(report) = logs::import(Client::ClaudeCode, &[root], &mut Cursors::default(), &mut Projects::default(), &mut sink, &mut |_| {});
    println!("{calls} calls, {said} bytes said, {} bytes read", report.bytes_read);
}
