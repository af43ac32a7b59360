package usage

import (
	"strings"
	"time"
	"unicode/utf8"
)

// The states of a row.
const (
	open      = iota // the request runs, or its process is dead and nobody has noticed yet
	settled          // its last byte has been sent
	unsettled        // its process died: it counts at its estimate
)

// The bounds of what a row holds. Sums of eight million rows of the most there is
// still fit in 64 bits.
const (
	maxText   = 256     // bytes
	maxNumber = 1 << 40 // tokens, milliseconds and the like
	maxCost   = 1 << 50 // billionths of a dollar: a million dollars
)

// Row is what the ledger keeps of a record.
type Row struct {
	Start     time.Time `json:"start"` // to the microsecond
	RequestID string    `json:"request_id"`
	TraceID   string    `json:"trace_id,omitempty"`
	Route     string    `json:"route"`

	Team       string `json:"team"`
	Key        string `json:"key"`
	Model      string `json:"model"`
	Deployment string `json:"deployment,omitempty"`
	Spilled    string `json:"spilled,omitempty"`

	Status       int     `json:"status"`
	Outcome      Outcome `json:"outcome"`
	Code         string  `json:"code,omitempty"`
	FinishReason string  `json:"finish_reason,omitempty"`
	Attempts     int     `json:"attempts"`
	Retry        int     `json:"retry,omitempty"`
	Stream       bool    `json:"stream"`

	EstimatedInput int64 `json:"estimated_input"`
	Input          int64 `json:"input"`
	Cached         int64 `json:"cached"`
	Output         int64 `json:"output"`
	Reasoning      int64 `json:"reasoning"`
	Counted        bool  `json:"counted,omitempty"`

	Sound time.Duration `json:"sound,omitempty"` // that was heard, where it is paid for by its length

	Reserved     int64 `json:"reserved"`
	ReservedCost USD   `json:"reserved_cost"`
	Cost         USD   `json:"cost"`

	Escaped  int    `json:"escaped,omitempty"`
	Trimmed  int    `json:"trimmed,omitempty"`
	Lowered  int64  `json:"lowered,omitempty"`
	Shadowed string `json:"shadowed,omitempty"` // codes, with commas between

	Duration   time.Duration `json:"duration"`
	FirstToken time.Duration `json:"first_token"`
	Upstream   time.Duration `json:"upstream"`
	Queued     time.Duration `json:"queued,omitempty"`

	AzureRequestID string `json:"azure_request_id,omitempty"`
	AzureRegion    string `json:"azure_region,omitempty"`

	Open      bool `json:"open,omitempty"`      // the request still runs
	Unsettled bool `json:"unsettled,omitempty"` // its process died; Cost is what was reserved
}

// newRow returns what is kept of r, fit for any database: valid text without NUL,
// and no number that could make a sum overflow.
func newRow(r *Record, now func() time.Time) Row {
	start := r.Start
	if start.IsZero() {
		start = now()
	}
	return Row{
		Start: start, RequestID: clean(r.RequestID), TraceID: clean(r.TraceID), Route: clean(r.Route),
		Team: clean(r.Team), Key: clean(r.Key), Model: clean(r.Model), Deployment: clean(r.Deployment), Spilled: clean(r.Spilled),
		Status: r.Status, Outcome: Outcome(clean(string(r.Outcome))), Code: clean(r.Code), FinishReason: clean(r.FinishReason),
		Attempts: len(r.Attempts), Retry: r.Retry, Stream: r.Stream,
		EstimatedInput: number(r.EstimatedInput), Input: number(r.Input), Cached: number(r.Cached),
		Output: number(r.Output), Reasoning: number(r.Reasoning), Counted: r.Counted,
		Sound:    time.Duration(number(int64(r.Sound/time.Microsecond))) * time.Microsecond,
		Reserved: number(r.Reserved), ReservedCost: cost(r.ReservedCost), Cost: cost(r.Cost),
		Escaped: r.Escaped, Trimmed: r.Trimmed, Lowered: r.Lowered, Shadowed: clean(strings.Join(r.Shadowed, ",")),
		Duration: r.Duration, FirstToken: r.FirstToken, Upstream: r.Upstream, Queued: r.Queued,
		AzureRequestID: clean(r.AzureRequestID), AzureRegion: clean(r.AzureRegion),
	}
}

// clean returns s as any database takes it.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.Clone(s[:end])
}

func number(n int64) int64 { return min(max(n, 0), maxNumber) }

func cost(u USD) USD { return min(max(u, 0), maxCost) }

// quarter returns the number of the quarter of an hour that t lies in. Every time
// zone there is begins its hours and days with one.
func quarter(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		s -= 899
	}
	return s / 900
}

// quarterStart returns when a quarter begins.
func quarterStart(n int64) time.Time { return time.Unix(n*900, 0) }

func rowColumns() []string {
	return []string{
		"instance", "seq", "state", "start", "request_id", "trace_id", "route",
		"team", "key_name", "model", "deployment", "spilled",
		"status", "outcome", "code", "finish_reason", "attempts", "retry", "stream",
		"estimated_input", "input", "cached", "output", "reasoning", "counted",
		"reserved", "reserved_cost", "cost", "escaped", "trimmed", "lowered", "shadowed",
		"duration", "first_token", "upstream", "queued", "azure_request_id", "azure_region", "sound",
	}
}

// values appends the row to args, in the order of rowColumns.
func (r *Row) values(args []any, instance, seq int64) []any {
	state := settled
	switch {
	case r.Open:
		state = open
	case r.Unsettled:
		state = unsettled
	}
	return append(
		args, instance, seq, int64(state), r.Start.UnixMicro(), r.RequestID, r.TraceID, r.Route,
		r.Team, r.Key, r.Model, r.Deployment, r.Spilled,
		int64(r.Status), string(r.Outcome), r.Code, r.FinishReason, int64(r.Attempts), int64(r.Retry), bit(r.Stream),
		r.EstimatedInput, r.Input, r.Cached, r.Output, r.Reasoning, bit(r.Counted),
		r.Reserved, int64(r.ReservedCost), int64(r.Cost), int64(r.Escaped), int64(r.Trimmed), r.Lowered, r.Shadowed,
		r.Duration.Microseconds(), r.FirstToken.Microseconds(), r.Upstream.Microseconds(), r.Queued.Microseconds(),
		r.AzureRequestID, r.AzureRegion, r.Sound.Microseconds(),
	)
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// scan reads the row from columns in the order of rowColumns.
func (r *Row) scan(scan func(...any) error) error {
	var instance, seq, state, start int64
	err := scan(
		&instance, &seq, &state, &start, &r.RequestID, &r.TraceID, &r.Route,
		&r.Team, &r.Key, &r.Model, &r.Deployment, &r.Spilled,
		&r.Status, &r.Outcome, &r.Code, &r.FinishReason, &r.Attempts, &r.Retry, &r.Stream,
		&r.EstimatedInput, &r.Input, &r.Cached, &r.Output, &r.Reasoning, &r.Counted,
		&r.Reserved, &r.ReservedCost, &r.Cost, &r.Escaped, &r.Trimmed, &r.Lowered, &r.Shadowed,
		&r.Duration, &r.FirstToken, &r.Upstream, &r.Queued, &r.AzureRequestID, &r.AzureRegion, &r.Sound,
	)
	r.Start = time.UnixMicro(start).UTC()
	for _, d := range []*time.Duration{&r.Duration, &r.FirstToken, &r.Upstream, &r.Queued, &r.Sound} {
		*d = time.Duration(d.Nanoseconds() * int64(time.Microsecond)) // It was read as microseconds.
	}
	r.Open, r.Unsettled = state == open, state == unsettled
	return err
}
