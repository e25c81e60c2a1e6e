//! What may stand in a store's URL.

use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "etcd")]
use tenure_etcd::EtcdOptions;
#[cfg(feature = "postgres")]
use tenure_postgres::PostgresOptions;
#[cfg(feature = "redis")]
use tenure_redis::RedisOptions;

#[cfg(any(feature = "etcd", feature = "postgres", feature = "redis"))]
use crate::failure;
use crate::store::file;

/// Where leases are, by the kind of store. Another kind is another variant.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `etcd://HOST,HOST/PREFIX`.
    #[cfg(feature = "etcd")]
    Etcd(Box<EtcdOptions>),
    /// `postgres://HOST/DATABASE`.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresOptions>),
    /// `redis://HOST/NUMBER`.
    #[cfg(feature = "redis")]
    Redis(Box<RedisOptions>),
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
}

/// What this build knows.
const KNOWN: &[&str] = &[
    "sqlite:PATH",
    #[cfg(feature = "etcd")]
    "etcd://HOST",
    #[cfg(feature = "postgres")]
    "postgres://HOST/DATABASE",
    #[cfg(feature = "redis")]
    "redis://HOST",
];

impl FromStr for Place {
    type Err = String;

    fn from_str(url: &str) -> Result<Place, String> {
        let known = || format!("this build knows {}", KNOWN.join(", "));
        if url.trim() != url || url.contains(char::is_control) {
            let why = "it has a blank at an end, or a control character";
            return Err(format!("{why}: leave that out, or write its bytes as %XX if it is meant"));
        }
        let Some((scheme, path)) = url.split_once(':') else {
            return Err(format!("it does not say which kind of store: {}", known()));
        };
        match scheme {
            "sqlite" => file::parse(path).map(Place::Sqlite),
            #[cfg(feature = "etcd")]
            "etcd" => {
                let options = EtcdOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Etcd(Box::new(options)))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let options =
                    PostgresOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Postgres(Box::new(options)))
            }
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let options =
                    RedisOptions::from_url(url).map_err(|error| failure::chain(&error))?;
                Ok(Place::Redis(Box::new(options)))
            }
            "memory" => Err(format!("memory is not shared between processes: {}", known())),
            _ => Err(format!("there is no kind of store named {scheme:?}: {}", known())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreText;

    fn place(url: &str) -> Result<String, String> {
        StoreText(url.to_owned()).url().map(|url| url.to_string()).map_err(|failure| {
            let shown = format!("{failure:?}");
            assert!(!shown.contains("secret"), "{shown}");
            shown
        })
    }

    #[test]
    fn a_url_is_a_kind_of_store_and_what_that_kind_needs() {
        for url in ["sqlite:leases.db", "sqlite:/var/lib/a:b.db", "sqlite:/a%25 b%0A.db"] {
            assert_eq!(place(url).as_deref(), Ok(url));
        }
        assert_eq!(place("sqlite:///var/lib/a.db").as_deref(), Ok("sqlite:/var/lib/a.db"));
        for url in ["", "leases.db", "sqlite:", "sqlite://a/b", "sqlite::memory:", "memory:"] {
            assert!(place(url).is_err(), "{url}");
        }
        let unknown = place("oracle://u:secret@h").unwrap_err();
        let expected = "no kind of store named \\\"oracle\\\": this build knows sqlite:PATH";
        assert!(unknown.contains(expected), "{unknown}");
    }

    /// In each form the same characters are refused, and percent signs mean the same.
    #[cfg(all(feature = "etcd", feature = "postgres", feature = "redis"))]
    #[test]
    fn what_could_be_another_store_by_mistake_is_refused_in_each_form() {
        let forms = ["sqlite:/a", "etcd://h/a", "postgres://h/a", "redis://h/0", "valkey://h/0"];
        for form in forms {
            assert!(place(form).is_ok(), "{form}");
            for end in [
                "\n",
                "\r\n",
                " ",
                "\t",
                "\u{a0}",
                "\u{0}",
                "\u{7f}",
                "\u{85}",
                "\u{200b}",
                "\u{feff}",
                "?mode=rwc",
                "?",
                "#b",
                "#",
                "//b",
                "//",
                "%",
                "%2",
                "%zz",
                "%+1",
            ] {
                for url in [format!("{form}{end}"), format!("{form}{end}/b")] {
                    assert!(url.ends_with(" /b") || place(&url).is_err(), "{url:?}");
                }
            }
            for start in ["\n", " ", "\u{feff}"] {
                assert!(place(&format!("{start}{form}")).is_err(), "{start:?}{form}");
            }
        }
        let prefix = |url: &str| match url.parse::<Place>().unwrap() {
            Place::Sqlite(path) => path.to_str().unwrap().to_owned(),
            Place::Etcd(options) => format!("{options:?}"),
            Place::Postgres(options) => format!("{options:?}"),
            Place::Redis(options) => format!("{options:?}"),
        };
        for form in ["sqlite:/", "etcd://h/", "postgres://h/", "redis://h/0?prefix="] {
            let read = prefix(&format!("{form}a%25%3Fb%20"));
            assert!(read.contains("a%?b "), "{form}: {read}");
        }
    }

    #[cfg(all(feature = "etcd", feature = "postgres", feature = "redis"))]
    #[test]
    fn no_password_is_shown() {
        for scheme in ["etcd", "postgres", "redis"] {
            let url = format!("{scheme}://u:secret@h:1");
            let shown = place(&url).unwrap();
            assert!(!shown.contains("secret") && shown.contains("h:1"), "{shown}");
            let debug = format!("{:?}", StoreText(url).url().unwrap().place);
            assert!(!debug.contains("secret"), "{debug}");
            for wrong in ["h:secret", "u:secret@h:0", "u:secret@h?colour=red", "u:sec/ret@h"] {
                assert!(place(&format!("{scheme}://{wrong}")).is_err(), "{scheme} {wrong}");
            }
        }
    }
}
