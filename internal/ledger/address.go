package ledger

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

const defaultPort = "6379"

// Address is where a [Redis] is.
type Address struct{ options rueidis.ClientOption }

// ParseAddress reads redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/DB][?master=NAME], or the same
// with rediss for TLS 1.2 or later. One host is a server or a node of a cluster, several are nodes of a
// cluster, or, with the name of a master, Sentinels. Errors hold nothing of the text, which may be
// secret.
func ParseAddress(text string) (Address, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	userinfo, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse(scheme + "://" + userinfo + "host" + tail)
	if err != nil || u.Fragment != "" {
		return Address{}, errors.New("is not a URL")
	}
	var a Address
	switch scheme {
	case "redis":
	case "rediss":
		a.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return Address{}, errors.New("has an unknown scheme")
	}
	if u.User != nil {
		a.options.Username = u.User.Username()
		a.options.Password, _ = u.User.Password()
	}
	if a.options.InitAddress, err = parseHosts(hosts); err != nil {
		return Address{}, err
	}
	err = a.parseTail(u)
	return a, err
}

func parseHosts(list string) (addrs []string, err error) {
	for hostport := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(hostport)
		if address, ok := errors.AsType[*net.AddrError](err); ok && address.Err == "missing port in address" {
			host, port, err = net.SplitHostPort(hostport + ":" + defaultPort)
		}
		if err != nil || host == "" || !isHost(host) {
			return nil, errors.New("has a bad host")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("has a bad port")
		}
		addrs = append(addrs, net.JoinHostPort(host, port))
	}
	return addrs, nil
}

// isHost reports whether a URL could hold it.
func isHost(host string) bool {
	u, err := url.Parse("redis://" + net.JoinHostPort(host, defaultPort))
	return err == nil && u.Hostname() == host
}

// parseTail reads what follows the hosts.
func (a *Address) parseTail(u *url.URL) (err error) {
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		if a.options.SelectDB, err = strconv.Atoi(db); err != nil || a.options.SelectDB < 0 {
			return errors.New("has a bad database number")
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("has a bad query")
	}
	for name, values := range query {
		if name != "master" || len(values) != 1 || values[0] == "" {
			return errors.New("has a parameter other than master=NAME")
		}
	}
	a.options.Sentinel.MasterSet = query.Get("master")
	a.options.Sentinel.TLSConfig = a.options.TLSConfig
	if a.options.SelectDB > 0 && len(a.options.InitAddress) > 1 && a.options.Sentinel.MasterSet == "" {
		return errors.New("names a database of a cluster, which has one only")
	}
	return nil
}
