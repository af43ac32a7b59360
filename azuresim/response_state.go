package azuresim

import (
	"net/http"
	"strconv"
)

// kept returns the response that the path names, or the 404. Call it with the
// server's mutex held.
func (c *call) keptResponse() (*response, *Step) {
	r, ok := c.srv.kept.responses.get(c.route.id)
	if !ok {
		return nil, missing("Response with id '"+c.route.id+"' not found.", "")
	}
	return r, nil
}

// getResponse tells a response as it stands, or streams it again from behind an
// event on.
func (c *call) getResponse() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	r, refused := c.keptResponse()
	if refused != nil {
		return refused, nil
	}
	q := c.r.URL.Query()
	if q.Get("stream") != "true" {
		return answer(http.StatusOK, r.object(r.at(c.now))), nil
	}
	after, err := strconv.Atoi(q.Get("starting_after"))
	if q.Has("starting_after") && err != nil {
		return invalid("Invalid type for 'starting_after': expected an integer.", "starting_after", "invalid_type"), nil
	}
	list := c.responseEvents(r)
	if q.Has("starting_after") {
		list = list[min(len(list), max(0, after+1)):]
	}
	return nil, list
}

func (c *call) deleteResponse() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if _, refused := c.keptResponse(); refused != nil {
		return refused, nil
	}
	c.srv.kept.responses.remove(c.route.id)
	return answer(http.StatusOK, object{"id": c.route.id, "object": "response", "deleted": true}), nil
}

// cancelResponse ends a background response. The refusals' texts are OpenAI's;
// Azure's are guessed to be the same.
func (c *call) cancelResponse() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	r, refused := c.keptResponse()
	switch {
	case refused != nil:
		return refused, nil
	case !r.waits:
		return invalid("Cannot cancel a synchronous response.", "", ""), nil
	case r.at(c.now) == "completed":
		return invalid("Cannot cancel a completed response.", "", ""), nil
	}
	r.cancelled = r.cancelled || r.at(c.now) == "in_progress"
	return answer(http.StatusOK, r.object(r.at(c.now))), nil
}

func (c *call) inputItems() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	r, refused := c.keptResponse()
	if refused != nil {
		return refused, nil
	}
	return page(r.input, c.r.URL.Query(), 100), nil
}

// countInput answers what a create with this body would cost.
func (c *call) countInput() (*Step, []event) {
	return answer(http.StatusOK, object{"object": "response.input_tokens", "input_tokens": c.chat.promptTokens()}), nil
}

// compact answers the user's messages and the rest of the input, sealed.
func (c *call) compact() (*Step, []event) {
	c.srv.mu.Lock()
	r := c.newResponse(completion{})
	var output []object
	for _, o := range c.resp.items {
		if o["role"] == "user" {
			output = append(output, o)
		}
	}
	output = append(output, object{
		"id": c.srv.newID("cmp_", 48), "type": "compaction", "encrypted_content": c.srv.seal(encode(c.resp.items)),
	})
	c.srv.mu.Unlock()
	c.bill(r.output)
	return answer(http.StatusOK, object{
		"id": r.id, "object": "response.compaction", "created_at": c.now.Unix(), "output": output, "usage": r.usage,
	}), nil
}

// conversation is what several responses say one after the other.
type conversation struct {
	id      string
	created int64
	context []message
}

func (t *conversation) object() object {
	return object{"id": t.id, "object": "conversation", "created_at": t.created, "metadata": object{}}
}

func (c *call) createConversation() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	t := &conversation{id: c.srv.newID("conv_", 48), created: c.now.Unix()}
	c.srv.kept.conversations.put(t.id, t, 0)
	return answer(http.StatusOK, t.object()), nil
}

func (c *call) getConversation() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	t, ok := c.srv.kept.conversations.get(c.route.id)
	if !ok {
		return missing("Conversation with id '"+c.route.id+"' not found.", ""), nil
	}
	return answer(http.StatusOK, t.object()), nil
}

func (c *call) deleteConversation() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if !c.srv.kept.conversations.remove(c.route.id) {
		return missing("Conversation with id '"+c.route.id+"' not found.", ""), nil
	}
	return answer(http.StatusOK, object{"id": c.route.id, "object": "conversation.deleted", "deleted": true}), nil
}
