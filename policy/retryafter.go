package policy

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// longest is the longest wait that is understood.
const longest = 365 * 24 * time.Hour

// RetryAfter returns how long an answer asks to be left alone: by
// retry-after-ms, x-ms-retry-after-ms, retry-after in seconds or as a date, or by
// the words "retry after N seconds" and their kind in the message. 0 is that it
// does not say, or that the time has passed.
func RetryAfter(header func(string) string, message string, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if d, ok := number(header(name), time.Millisecond); ok {
			return d
		}
	}
	after := strings.TrimSpace(header("Retry-After"))
	if d, ok := number(after, time.Second); ok {
		return d
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, after); err == nil {
			return min(max(0, at.Sub(now)), longest)
		}
	}
	return inWords(strings.ToLower(message))
}

// reset returns when the allowance that is used up is there again, by the headers
// of OpenAI: "6m0s", "120ms", or a number of seconds. 0 is that none is.
func reset(header func(string) string) time.Duration {
	var longer time.Duration
	for _, kind := range []string{"Requests", "Tokens"} {
		if strings.TrimSpace(header("X-Ratelimit-Remaining-"+kind)) != "0" {
			continue
		}
		text := strings.TrimSpace(header("X-Ratelimit-Reset-" + kind))
		d, err := time.ParseDuration(text)
		if err != nil {
			d, _ = number(text, time.Second)
		}
		longer = max(longer, min(d, longest))
	}
	return longer
}

// inWords finds how long to wait in a message in small letters: "20 seconds", "20s"
// or "6m30s".
func inWords(message string) time.Duration {
	for _, phrase := range []string{"retry after ", "try again in "} {
		_, rest, _ := strings.Cut(message, phrase)
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		word := strings.TrimRight(words[0], ".,;")
		if d, err := time.ParseDuration(word); err == nil && d > 0 {
			return min(d, longest)
		}
		unit := time.Second
		if len(words) > 1 {
			unit = unitOf(words[1])
		}
		if d, ok := number(word, unit); ok {
			return d
		}
	}
	return 0
}

// unitOf returns the unit of time that a word means, a second where it means
// none.
func unitOf(word string) time.Duration {
	switch {
	case strings.HasPrefix(word, "ms"), strings.HasPrefix(word, "millisecond"):
		return time.Millisecond
	case strings.HasPrefix(word, "minute"):
		return time.Minute
	case strings.HasPrefix(word, "hour"):
		return time.Hour
	default:
		return time.Second
	}
}

// number returns s units, kept within the longest wait. What is no number above 0
// says nothing.
func number(s string, unit time.Duration) (d time.Duration, ok bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	huge := errors.Is(err, strconv.ErrRange) && f > 0
	if err != nil && !huge || math.IsNaN(f) || math.IsInf(f, 1) && !huge || f <= 0 {
		return 0, false
	}
	return time.Duration(min(f*float64(unit), float64(longest))), true
}
