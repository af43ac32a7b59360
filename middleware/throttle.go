package middleware

import (
	"container/list"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"weir/openai"
)

// How often the keys of an address may fail before it is throttled.
const (
	failuresAtOnce    = 20     // by an address that has not failed of late
	failuresPerMinute = 20     // from then on
	maxAddresses      = 10_000 // that are remembered, in 2.6 MB
	siteBits          = 64     // of an IPv6 address: what one household or host is given
)

// Throttle counts the keys that fail, by the address that they come from: an
// IPv4 address, or the /64 of an IPv6 one. An address may fail 20 times at once
// and 20 times a minute; what fails beyond is answered 429 in place of 401, and
// the log has one warning when that begins.
//
// A key that is good is served at any time, from any address: behind one address
// there may be an office or a load balancer, and whoever sends bad keys from
// there must not shut out everybody else. So a guesser sees which key is good
// with or without the throttle, and what keeps keys safe is that they cannot be
// guessed; the throttle tells the operator who tries and the client to stop. The
// 429 is the same for every key that is not good, and says nothing of it.
//
// The addresses are bounded. Beyond 10,000 the one whose last failure is the
// longest ago is forgotten and may fail 20 times anew. A flood of addresses can
// so end the throttling of others, never begin it: no two share a count. Callers
// over a Unix socket have no address and count as one. A replica counts alone.
type Throttle struct {
	log *slog.Logger

	mu     sync.Mutex
	known  map[netip.Prefix]*list.Element // of recent
	recent list.List                      // of *offender, the last that failed in front
}

// offender is an address whose keys have failed.
type offender struct {
	site      netip.Prefix
	left      *rate.Limiter // failures that are answered as such
	throttled bool          // it was, since left was full
}

// NewThrottle returns a Throttle of which no address has failed. It is for all
// requests of a process, and outlives its configuration.
func NewThrottle(log *slog.Logger) *Throttle {
	return &Throttle{log: log, known: map[netip.Prefix]*list.Element{}}
}

// refuse counts a failure of the caller's address and returns the answer to it:
// what it would be for an address that is not throttled, or the 429.
func (t *Throttle) refuse(c echo.Context, otherwise error) error {
	site := siteOf(c.RealIP())
	wait, begins := t.fail(site)
	if begins {
		t.log.Warn("failed keys are throttled", "address", said(site), "per_minute", failuresPerMinute)
	}
	if wait == 0 {
		return otherwise
	}
	// A client that obeys Retry-After alone would only bring the same key again.
	c.Response().Header().Set("X-Should-Retry", "false")
	return &openai.Error{
		Status: http.StatusTooManyRequests, Code: openai.CodeFailedKeys, RetryAfter: wait,
		Message: "Your address has sent too many API keys that are not this gateway's. Send a key that was made for it: that is served at once.",
	}
}

// fail counts a failure. It returns 0, or how long until the next may be answered
// as one, and whether this is the first that may not.
func (t *Throttle) fail(site netip.Prefix) (wait time.Duration, begins bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now() // under the lock, so that it never goes back
	o := t.offender(site, now)
	if o.left.AllowN(now, 1) {
		return 0, false
	}
	begins, o.throttled = !o.throttled, true
	lack := 1 - o.left.TokensAt(now)
	wait = time.Duration(math.Ceil(lack * float64(time.Minute) / failuresPerMinute))
	return max(wait, time.Millisecond), begins
}

// offender returns what is known of an address, and forgets who is one too many.
// The caller holds mu.
func (t *Throttle) offender(site netip.Prefix, now time.Time) *offender {
	e, ok := t.known[site]
	if !ok {
		if len(t.known) >= maxAddresses {
			delete(t.known, t.recent.Remove(t.recent.Back()).(*offender).site)
		}
		e = t.recent.PushFront(&offender{site: site, left: rate.NewLimiter(rate.Limit(failuresPerMinute)/60, failuresAtOnce)})
		t.known[site] = e
	}
	t.recent.MoveToFront(e)
	o := e.Value.(*offender)
	o.throttled = o.throttled && o.left.TokensAt(now) < failuresAtOnce
	return o
}

// siteOf returns whom an address stands for; nothing for what is no address.
func siteOf(ip string) netip.Prefix {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := siteBits
	if a.Is4() {
		bits = a.BitLen()
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// said returns a site as the log has it.
func said(site netip.Prefix) string {
	switch {
	case !site.IsValid():
		return "none"
	case site.IsSingleIP():
		return site.Addr().String()
	default:
		return site.String()
	}
}
