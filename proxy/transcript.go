package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// transcript hands on a transcript that is text, and counts what passes: in these
// forms upstream never says what was used.
func (g *Gateway) transcript(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) error {
	seen := &heard{tally: tally{counter: d.model.Counter}}
	a.Content = io.TeeReader(a.Content, seen)
	defer func() {
		if end := seen.end(); end > 0 && rec.Outcome == usage.OK { // of one that was cut, upstream has heard more
			d.attached.Seconds = end.Seconds()
		}
		book(rec, openai.Facts{}, d, &seen.tally)
	}()
	return g.content(c, a, d, rec)
}

// heard takes note of a transcript that passes as text.
type heard struct {
	tally tally
	last  []byte // as much of its end as may hold the times of its last caption
}

// maxCaption is how long the last caption may be for its times to be found.
const maxCaption = 8 << 10

// Write counts a piece of the transcript.
func (h *heard) Write(b []byte) (int, error) {
	h.tally.write(b)
	h.last = append(h.last, b[max(0, len(b)-maxCaption):]...)
	h.last = append(h.last[:0], h.last[max(0, len(h.last)-maxCaption):]...)
	return len(b), nil
}

// end returns when the last caption ends, 0 where the text has none, as SRT and
// WebVTT have.
func (h *heard) end() time.Duration {
	caption := regexp.MustCompile(`(?m)^(?:\d+:)?\d\d:\d\d[.,]\d{3} --> (?:(\d{1,4}):)?(\d\d):(\d\d)[.,](\d{3})\s*$`)
	all := caption.FindAllSubmatch(h.last, -1)
	if len(all) == 0 {
		return 0
	}
	var end time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second, time.Millisecond} {
		n, _ := strconv.Atoi(string(all[len(all)-1][1+i])) // there may be no hours
		end += time.Duration(n) * unit
	}
	return end
}

// asStream returns a plain transcript as the stream that its client asked for: models
// that cannot stream answer so.
func asStream(body []byte) []byte {
	const kind = "transcript.text.done"
	root, err := openai.ReadValue(body)
	if err != nil {
		return nil
	}
	b := bytes.NewBufferString("event: " + kind + "\ndata: ")
	_ = json.Compact(b, openai.Apply(body, root.Set("type", openai.Quote(kind)))) // it is JSON
	b.WriteString("\n\n")
	return b.Bytes()
}
