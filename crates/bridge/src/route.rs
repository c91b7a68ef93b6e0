//! PURE: which target a message goes to. Most specific first: application and port, application, default.

use crate::config::Route;

/// The route for a message, or `None` when nobody wants it.
pub fn choose<'a>(routes: &'a [Route], application: &str, port: Option<u64>) -> Option<&'a Route> {
    let of_application = |r: &&Route| r.application.as_deref() == Some(application);
    let by_port = port
        .and_then(|p| routes.iter().filter(of_application).find(|r| r.port.is_some_and(|port| u64::from(port) == p)));
    by_port
        .or_else(|| routes.iter().filter(of_application).find(|r| r.port.is_none()))
        .or_else(|| routes.iter().find(|r| r.application.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Destination;

    fn route(application: Option<&str>, port: Option<u8>, target: &str) -> Route {
        let destination = Destination::Target(target.to_owned());
        Route { application: application.map(str::to_owned), port, destination }
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let mut routes = vec![
            route(None, None, "default"),
            route(Some("vehicles"), None, "application"),
            route(Some("vehicles"), Some(10), "port"),
        ];
        for _ in 0..3 {
            routes.rotate_left(1);
            let target = |application, port| choose(&routes, application, port).and_then(Route::target);
            assert_eq!(target("vehicles", Some(10)), Some("port"));
            assert_eq!(target("vehicles", Some(11)), Some("application"));
            assert_eq!(target("vehicles", None), Some("application"));
            assert_eq!(target("building", Some(10)), Some("default"));
        }
    }

    #[test]
    fn without_a_default_an_unknown_application_has_no_route() {
        assert!(choose(&[route(Some("vehicles"), None, "a")], "building", None).is_none());
    }
}
