//! Measures how long a page of an organization's keys takes, in several orders and with filters that few keys match.

use std::{net::TcpStream, time::Instant};

use bench::{
    fill,
    keys::{Kind, key},
    server::Server,
};

use crate::{report::median, special::send_request};

/// Pages that are read for one row of the report.
const PAGES: usize = 7;

/// Names of lists, and their query parameters.
const LISTS: [(&str, &str); 13] = [
    ("newest first", "sort=-created_at"),
    ("by name", "sort=name"),
    ("last to expire", "sort=-expires_at"),
    ("a name that no key has", "name=zzz"),
    ("a search that finds nothing", "search=zzz"),
    ("the start of a secret", "start=cvg_zzz"),
    ("an external id", "external_id=customer-1"),
    ("disabled", "enabled=false"),
    ("expired", "expired=true"),
    ("used up", "exhausted=true"),
    ("rotating", "rotating=true"),
    ("a permission that no key has", "permission=mail:send"),
    ("newest first, with a total", "total=true"),
];

/// Prints the median time of each list.
pub(crate) fn measure(service: &Server) {
    println!("\n| keys of an organization, a page of 50 | ms |");
    println!("|---|---|");
    for (name, query) in LISTS {
        let request = format!(
            "GET /orgs/{}/api_keys?limit=50&{query} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\r\n",
            fill::organization(),
            key(Kind::Admin, 0).expose(),
        );
        let mut stream = TcpStream::connect(service.address).expect("a connection");
        let times: Vec<f64> = (0..=PAGES)
            .map(|_| {
                let started = Instant::now();
                let answer = send_request(&mut stream, request.as_bytes());
                assert!(answer.starts_with('['), "{query}: {answer}");
                started.elapsed().as_secs_f64() * 1_000.0
            })
            .collect();
        // The first one may have to plan its statement.
        println!("| {name} | {:.1} |", median(&times[1..]));
    }
    println!();
}
