package command

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/config"
	"weir/openai"
	"weir/usage"
)

// usageQuery is what is asked of the ledger.
type usageQuery struct {
	query usage.Query
	zone  string
	form  string // table, json or csv; "" is not said
}

// slot is how finely the ledger tells time.
const slot = 15 * time.Minute

// newUsageQuery reads the parameters of a request for usage, which are the flags of
// weir usage as well. It takes empty ones for absent.
func newUsageQuery(values url.Values, now time.Time) (usageQuery, *openai.Error) {
	for name, all := range values {
		switch {
		case !slices.Contains(parameters(), name):
			return usageQuery{}, badUsage("", fmt.Sprintf("There is no parameter %.60q. There are %s.", name, strings.Join(parameters(), ", ")))
		case len(all) > 1:
			return usageQuery{}, badUsage(name, name+" is given more than once. Give it once.")
		}
	}
	q := usageQuery{zone: values.Get("zone"), form: values.Get("format"), query: usage.Query{
		Team: values.Get("team"), Key: values.Get("key"), Model: values.Get("model"), Deployment: values.Get("deployment"),
	}}
	if q.zone == "" {
		q.zone = "UTC"
	}
	var err error
	if q.query.Zone, err = time.LoadLocation(q.zone); err != nil || q.zone == "Local" {
		return q, badUsage("zone", fmt.Sprintf("zone cannot be %.60q. Use the name of a time zone such as Europe/Berlin.", q.zone))
	}
	if wrong := q.group(values.Get("by")); wrong != nil {
		return q, wrong
	}
	return q, q.span(values.Get("since"), values.Get("until"), now)
}

// parameters returns the names of what may be said in a question.
func parameters() []string {
	return []string{"by", "since", "until", "team", "key", "model", "deployment", "zone", "format"}
}

func badUsage(param, message string) *openai.Error {
	return openai.BadRequest(openai.CodeInvalidValue, param, message)
}

// groups returns what usage may be told apart by.
func groups() []string { return []string{"team", "key", "model", "deployment", "day", "hour"} }

// group reads what usage is told apart by: the team unless it is said.
func (q *usageQuery) group(by string) *openai.Error {
	if by == "" {
		by = "team"
	}
	for name := range strings.SplitSeq(by, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(groups(), name) {
			return badUsage("by", fmt.Sprintf("by cannot be %.60q. Use one or more of %s, with commas between.", name, strings.Join(groups(), ", ")))
		}
		if slices.Contains(q.query.By, name) {
			return badUsage("by", "by names "+name+" twice. Name it once.")
		}
		q.query.By = append(q.query.By, name)
	}
	if slices.Contains(q.query.By, "day") && slices.Contains(q.query.By, "hour") {
		return badUsage("by", "by names both day and hour. Name one of them.")
	}
	return nil
}

// span reads the time that is asked for: the month so far unless it is said. The
// ledger tells time by quarters of an hour, so it begins and ends with one.
func (q *usageQuery) span(since, until string, now time.Time) *openai.Error {
	zone := q.query.Zone
	now = now.In(zone).Truncate(time.Second)
	from, to := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, zone), now
	var err error
	if since != "" {
		if from, err = moment(since, now, false); err != nil {
			return badUsage("since", fmt.Sprintf("since cannot be %.60q: %v.", since, err))
		}
	}
	if until != "" {
		if to, err = moment(until, now, true); err != nil {
			return badUsage("until", fmt.Sprintf("until cannot be %.60q: %v.", until, err))
		}
	}
	if !from.Before(to) {
		return badUsage("since", fmt.Sprintf("since is %s and until is %s, so there is no time between them. Give an earlier since or a later until.",
			from.Format(time.RFC3339), to.Format(time.RFC3339)))
	}
	q.query.Since = from.Truncate(slot)
	if q.query.Until = to; until != "" {
		q.query.Until = to.Add(slot - 1).Truncate(slot)
	}
	return nil
}

// moment reads a time in the zone of now: a time with its own zone, a day, whose end
// is meant where it ends something, or how long ago.
func moment(text string, now time.Time, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.In(now.Location()), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		if end {
			day = day.AddDate(0, 0, 1)
		}
		return day, nil
	}
	if back, err := config.ParseDuration(text); err == nil && back >= 0 {
		return now.Add(-back), nil
	}
	return time.Time{}, errors.New("use a time such as 2026-03-31T12:00:00Z, a day such as 2026-03-31, or how long ago, such as 30d or 12h")
}
