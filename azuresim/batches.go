package azuresim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// How long a batch is validated, works, and takes to be cancelled.
const (
	batchChecks  = time.Second
	batchWorks   = time.Minute
	batchCancels = 10 * time.Second
)

// batch is work on a file of requests. How far it is depends on the time alone.
type batch struct {
	id        string
	head      object
	lines     []string
	created   time.Time
	cancelled time.Time // zero where nobody cancelled it
	output    string    // the id of the file put out, once it is complete
	failed    int
}

// batchRequest is what creates a batch.
type batchRequest struct {
	Input    string          `json:"input_file_id"`
	Endpoint string          `json:"endpoint"`
	Window   string          `json:"completion_window"`
	Metadata json.RawMessage `json:"metadata"`
}

func (c *call) createBatch() (*Step, []event) {
	var q batchRequest
	if json.Unmarshal(c.raw, &q) != nil {
		return invalid("We could not parse the JSON body of your request.", "", ""), nil
	}
	for _, field := range [][2]string{{"input_file_id", q.Input}, {"endpoint", q.Endpoint}, {"completion_window", q.Window}} {
		if field[1] == "" {
			return invalid("Missing required parameter: '"+field[0]+"'.", field[0], "missing_required_parameter"), nil
		}
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	f, ok := c.srv.kept.files.get(q.Input)
	if !ok || f.purpose != "batch" {
		return invalid("Invalid 'input_file_id': file not found, or its purpose is not batch.", "input_file_id", "invalid_value"), nil
	}
	b := &batch{id: c.srv.newID("batch_", 32), created: c.now}
	for line := range bytes.Lines(f.content) {
		if text := strings.TrimSpace(string(line)); text != "" {
			b.lines = append(b.lines, text)
		}
	}
	b.head = object{
		"id": b.id, "object": "batch", "endpoint": q.Endpoint, "input_file_id": q.Input, "completion_window": q.Window,
		"created_at": c.now.Unix(), "expires_at": c.now.Add(24 * time.Hour).Unix(), "errors": nil, "error_file_id": nil,
	}
	if len(q.Metadata) > 0 {
		b.head["metadata"] = q.Metadata
	}
	c.srv.kept.batches.put(b.id, b, len(f.content))
	return answer(http.StatusOK, c.batchObject(b)), nil
}

// batchObject is the batch as it stands now. Call it with the server's mutex
// held.
func (c *call) batchObject(b *batch) object {
	o := maps.Clone(b.head)
	when := map[string]time.Duration{"in_progress_at": batchChecks, "finalizing_at": batchWorks, "completed_at": batchWorks}
	for name, after := range when {
		if o[name] = nil; !c.now.Before(b.created.Add(after)) && b.cancelled.IsZero() {
			o[name] = b.created.Add(after).Unix()
		}
	}
	o["cancelling_at"], o["cancelled_at"], o["failed_at"], o["expired_at"] = nil, nil, nil, nil
	completed := 0
	o["status"] = b.status(c.now)
	switch o["status"] {
	case "completed":
		c.finishBatch(b)
		o["output_file_id"], completed = b.output, len(b.lines)-b.failed
	case "cancelled":
		o["cancelled_at"] = b.cancelled.Add(batchCancels).Unix()
		fallthrough
	case "cancelling":
		o["cancelling_at"] = b.cancelled.Unix()
	}
	o["request_counts"] = object{"total": len(b.lines), "completed": completed, "failed": b.failed}
	return o
}

func (b *batch) status(now time.Time) string {
	switch {
	case !b.cancelled.IsZero() && now.Sub(b.cancelled) >= batchCancels:
		return "cancelled"
	case !b.cancelled.IsZero():
		return "cancelling"
	case now.Sub(b.created) >= batchWorks:
		return "completed"
	case now.Sub(b.created) >= batchChecks:
		return "in_progress"
	default:
		return "validating"
	}
}

// finishBatch answers every line, once, into a file.
func (c *call) finishBatch(b *batch) {
	if b.output != "" {
		return
	}
	var out strings.Builder
	for i, line := range b.lines {
		var q struct {
			CustomID string          `json:"custom_id"`
			URL      string          `json:"url"`
			Body     json.RawMessage `json:"body"`
		}
		step := invalid("The line is no JSON.", "", "invalid_json_line")
		if json.Unmarshal([]byte(line), &q) == nil {
			step = c.inBatch(q.URL, q.Body)
		}
		if step.Status >= http.StatusBadRequest {
			b.failed++
		}
		out.WriteString(encode(object{
			"id": fmt.Sprintf("batch_req_%s_%d", b.id[6:14], i), "custom_id": q.CustomID, "error": nil,
			"response": object{"status_code": step.Status, "request_id": fmt.Sprintf("%s-%d", b.id[6:14], i), "body": json.RawMessage(step.Body)},
		}) + "\n")
	}
	f := c.srv.keepFile(&file{
		name: b.id + "_output.jsonl", purpose: "batch_output", size: int64(out.Len()), content: []byte(out.String()),
		created: b.created.Add(batchWorks),
	})
	b.output = f.id
}

// inBatch answers one request of a batch, without limits and faults.
func (c *call) inBatch(url string, body []byte) *Step {
	path := strings.TrimPrefix(strings.TrimPrefix(url, "/v1"), "/")
	for _, e := range modelEndpoints() {
		if _, ok := e.match(http.MethodPost, path); !ok || path != "chat/completions" && path != "embeddings" {
			continue
		}
		one := &call{srv: c.srv, w: c.w, r: c.r, raw: body, now: c.now, number: c.number, seen: &Request{}}
		one.route = route{endpoint: e, family: c.route.family, deployment: modelOf(body)}
		one.dep, one.known = c.srv.deployment(one.route.deployment)
		if !one.known {
			return deploymentNotFound()
		}
		return one.alone()
	}
	return notFound()
}

// alone answers without the network.
func (c *call) alone() *Step {
	read, check := (*call).readChat, (*call).checkChat
	if c.route.path == "embeddings" {
		read, check = (*call).readEmbeddings, (*call).checkEmbeddings
	}
	for _, step := range []func(*call) *Step{read, check} {
		if refused := step(c); refused != nil {
			return refused
		}
	}
	c.chat.stream = false
	if c.route.path == "embeddings" {
		return c.embeddings()
	}
	body, _ := c.body(c.completions())
	return answer(http.StatusOK, body)
}

func (c *call) listBatches() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	var list []object
	for _, b := range c.srv.kept.batches.all() {
		list = append(list, c.batchObject(b))
	}
	return page(list, c.r.URL.Query(), 100), nil
}

func (c *call) getBatch() (*Step, []event) { return c.changeBatch(func(*batch) *Step { return nil }) }

// changeBatch tells the batch that the path names, after a change.
func (c *call) changeBatch(change func(*batch) *Step) (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	b, ok := c.srv.kept.batches.get(c.route.id)
	if !ok {
		return missing("No batch found with id '"+c.route.id+"'.", "batch_id"), nil
	}
	if refused := change(b); refused != nil {
		return refused, nil
	}
	return answer(http.StatusOK, c.batchObject(b)), nil
}

func (c *call) cancelBatch() (*Step, []event) {
	return c.changeBatch(func(b *batch) *Step {
		switch status := b.status(c.now); status {
		case "validating", "in_progress":
			b.cancelled = c.now
			return nil
		case "completed":
			return modelError(http.StatusConflict, "Cannot cancel a batch with status '"+status+"'.", "invalid_request_error", "", "")
		default:
			return nil
		}
	})
}
