package policy

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Share is how much of one allowance is left.
type Share struct {
	Known bool    // or else Left says nothing
	Left  float64 // never below 0
	Limit float64 // 0: not known
}

// Room is what a deployment has left of its quota.
type Room struct{ Tokens, Requests Share }

// Told returns what the headers of an answer say is left.
func Told(header func(string) string) Room {
	share := func(kind string) Share {
		if limit, left, ok := levels(header, kind); ok {
			return Share{true, left, limit}
		}
		left, err := strconv.ParseFloat(strings.TrimSpace(header("X-Ratelimit-Remaining-"+kind)), 64)
		if err != nil || !(left >= 0 && left < math.MaxInt64) {
			return Share{}
		}
		return Share{Known: true, Left: left}
	}
	return Room{Tokens: share("Tokens"), Requests: share("Requests")}
}

// And returns what is known by later, and what only r knows.
func (r Room) And(later Room) Room {
	if later.Tokens.Known {
		r.Tokens = later.Tokens
	}
	if later.Requests.Known {
		r.Requests = later.Requests
	}
	return r
}

// Room returns what the twin takes to be left now, by the smaller of the limits
// that were configured and that the headers name.
func (t *Twin) Room(now time.Time) Room {
	share := func(limit float64, of func(*grain) float64) Share {
		if limit == 0 {
			return Share{}
		}
		return Share{true, max(0, limit-t.sum(now, twinMinute, now, of)), limit}
	}
	return Room{
		Tokens:   share(least(float64(t.own.Tokens), t.tokens), (*grain).allTokens),
		Requests: share(least(float64(t.own.Requests), t.requests), (*grain).allRequests),
	}
}
