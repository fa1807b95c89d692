/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "websocket.h"

#include <stdbool.h>
#include <string.h>
#include <wslay/wslay.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"

#define CONTROL_SIZE 125

struct websocket {
	wslay_frame_context_ptr context;
	const struct random *random;
	int error; /* the error that ended reading for good */

	/* Reading. */
	const uint8_t *input; /* the caller's */
	size_t input_size;
	bool in_frame; /* left is how much of the frame is to come */
	uint64_t left;
	bool in_message; /* more fragments of a message are to follow */
	bool skips;	 /* the message is a text */
	size_t size;	 /* of message */
	size_t control_size;
	uint8_t message[LIMIT_RELAY_FRAME];
	uint8_t control[CONTROL_SIZE];

	/* Writing. */
	uint8_t *output;
	size_t output_size, output_room;
};

static ssize_t give_input(uint8_t *buffer, size_t size, int flags, void *user)
{
	struct websocket *websocket = user;

	if (size > websocket->input_size)
		size = websocket->input_size;
	if (size == 0)
		return -1;
	memcpy(buffer, websocket->input, size);
	websocket->input += size;
	websocket->input_size -= size;
	return (ssize_t)size;
}

static ssize_t take_output(const uint8_t *data, size_t size, int flags, void *user)
{
	struct websocket *websocket = user;

	if (size > websocket->output_room - websocket->output_size)
		return -1;
	memcpy(websocket->output + websocket->output_size, data, size);
	websocket->output_size += size;
	return (ssize_t)size;
}

static int make_mask(uint8_t *buffer, size_t size, void *user)
{
	struct websocket *websocket = user;

	websocket->random->fill(websocket->random->context, buffer, size);
	return 0;
}

int websocket_new(const struct random *random, struct websocket **out)
{
	static const struct wslay_frame_callbacks callbacks = {
		.send_callback = take_output,
		.recv_callback = give_input,
		.genmask_callback = make_mask,
	};
	struct websocket *websocket = memory_zalloc(sizeof *websocket);

	if (!websocket)
		return ERROR_NOMEM;
	websocket->random = random;
	if (wslay_frame_context_init(&websocket->context, &callbacks, websocket)) {
		memory_free(websocket);
		return ERROR_NOMEM;
	}
	*out = websocket;
	return ERROR_NONE;
}

void websocket_free(struct websocket *websocket)
{
	if (!websocket)
		return;
	wslay_frame_context_free(websocket->context);
	memory_free(websocket);
}

void websocket_feed(struct websocket *websocket, const uint8_t *data, size_t size)
{
	websocket->input = data;
	websocket->input_size = size;
}

/* Checks the beginning of a frame: whether it may come now, and fits. */
static int begin_frame(struct websocket *websocket, const struct wslay_frame_iocb *frame)
{
	if (frame->mask || frame->rsv)
		return ERROR_INVALID;
	websocket->in_frame = true;
	websocket->left = frame->payload_length;
	switch (frame->opcode) {
	case WSLAY_CONNECTION_CLOSE:
	case WSLAY_PING:
	case WSLAY_PONG:
		websocket->control_size = 0;
		return frame->fin && frame->payload_length <= CONTROL_SIZE ? ERROR_NONE
									   : ERROR_INVALID;
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		if (websocket->in_message)
			return ERROR_INVALID;
		websocket->in_message = true;
		websocket->skips = frame->opcode == WSLAY_TEXT_FRAME;
		websocket->size = 0;
		break;
	case WSLAY_CONTINUATION_FRAME:
		if (!websocket->in_message)
			return ERROR_INVALID;
		break;
	default:
		return ERROR_INVALID;
	}
	return frame->payload_length <= sizeof websocket->message - websocket->size
		       ? ERROR_NONE
		       : ERROR_TOO_LARGE;
}

/* Ends a frame. Returns whether there is something for the caller now. */
static bool end_frame(struct websocket *websocket, const struct wslay_frame_iocb *frame,
	struct websocket_message *out)
{
	websocket->in_frame = false;
	if (frame->opcode == WSLAY_PONG)
		return false;
	if (wslay_is_ctrl_frame(frame->opcode)) {
		*out = (struct websocket_message){
			.type = frame->opcode == WSLAY_PING ? WEBSOCKET_PING : WEBSOCKET_CLOSE,
			.data = websocket->control,
			.size = websocket->control_size};
		return true;
	}
	if (!frame->fin)
		return false;
	websocket->in_message = false;
	if (websocket->skips)
		return false;
	*out = (struct websocket_message){
		.type = WEBSOCKET_BINARY, .data = websocket->message, .size = websocket->size};
	return true;
}

static void keep(struct websocket *websocket, const struct wslay_frame_iocb *frame)
{
	size_t size = frame->data_length;

	websocket->left -= size;
	if (size == 0)
		return;
	if (wslay_is_ctrl_frame(frame->opcode)) {
		memcpy(websocket->control + websocket->control_size, frame->data, size);
		websocket->control_size += size;
		return;
	}
	/* A text is only counted. */
	if (!websocket->skips)
		memcpy(websocket->message + websocket->size, frame->data, size);
	websocket->size += size;
}

static int fail(struct websocket *websocket, int error)
{
	websocket->error = error;
	return error;
}

int websocket_next(struct websocket *websocket, struct websocket_message *out)
{
	*out = (struct websocket_message){.type = WEBSOCKET_NOTHING};
	while (!websocket->error) {
		struct wslay_frame_iocb frame = {0};
		ssize_t result = wslay_frame_recv(websocket->context, &frame);
		int error;

		if (result == WSLAY_ERR_WANT_READ)
			return ERROR_NONE;
		if (result < 0)
			return fail(websocket, ERROR_INVALID);
		error = websocket->in_frame ? ERROR_NONE : begin_frame(websocket, &frame);
		if (!error && frame.data_length > websocket->left)
			error = ERROR_INVALID;
		if (error)
			return fail(websocket, error);
		keep(websocket, &frame);
		if (websocket->left == 0 && end_frame(websocket, &frame, out))
			return ERROR_NONE;
	}
	return websocket->error;
}

size_t websocket_frame_size(size_t size)
{
	return size + 2 + 4 + (size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8);
}

static int write_part(
	struct websocket *websocket, struct wslay_frame_iocb *frame, const void *data, size_t size)
{
	frame->data = data;
	frame->data_length = size;
	return wslay_frame_send(websocket->context, frame) == (ssize_t)size ? ERROR_NONE
									    : ERROR_INVALID;
}

int websocket_write(struct websocket *websocket, struct queue *queue, size_t limit,
	enum websocket_type type, const void *head, size_t head_size, const void *data, size_t size)
{
	static const uint8_t opcodes[] = {
		[WEBSOCKET_BINARY] = WSLAY_BINARY_FRAME,
		[WEBSOCKET_PING] = WSLAY_PING,
		[WEBSOCKET_CLOSE] = WSLAY_CONNECTION_CLOSE,
		[WEBSOCKET_PONG] = WSLAY_PONG,
	};
	struct wslay_frame_iocb frame = {
		.fin = 1, .opcode = opcodes[type], .mask = 1, .payload_length = head_size + size};
	size_t room = websocket_frame_size(head_size + size);
	int error = queue_reserve(queue, limit, room, &websocket->output);

	if (error)
		return error;
	websocket->output_size = 0;
	websocket->output_room = room;
	if (head_size || !size)
		error = write_part(websocket, &frame, head, head_size);
	if (!error && size)
		error = write_part(websocket, &frame, data, size);
	/* There is room for the whole frame: only a defect of ours makes this fail. */
	if (error || websocket->output_size != room)
		return ERROR_INVALID;
	queue_commit(queue, room);
	return ERROR_NONE;
}
