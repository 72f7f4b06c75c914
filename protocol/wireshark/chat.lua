-- Wireshark dissector for the wire that chat-client and chat-server speak over UDP (protocol/README.md).
--
--   chat          what is on the network: clear packets, and sealed ones as far as they can be read
--   chat.opened   what a trace holds (chat-client --trace FILE.pcapng): the frames of opened packets
--
-- Put it into Wireshark's folder of personal Lua plugins (Help > About > Folders), or name it:
--   tshark -X lua_script:chat.lua -r FILE.pcapng
--   tshark -X lua_script:chat.lua -i lo udp port 4545

local KINDS = {
  [1] = "probe", [2] = "beacon", [3] = "handshake-init", [4] = "handshake-reply",
  [5] = "retry", [6] = "sealed", [7] = "reset",
}
local FRAMES = {
  [0] = "padding", [1] = "ping", [2] = "ack-now", [3] = "ack", [4] = "stream", [5] = "credit",
  [6] = "challenge", [7] = "response", [8] = "close", [9] = "congested", [10] = "name",
}
local REASONS = {
  [0] = "no messages", [1] = "first time", [2] = "sent again: later packets arrived",
  [3] = "sent again: a later packet arrived and time went by",
  [4] = "sent again: overdue", [5] = "one more copy", [255] = "only the sender knows",
}
local DIRECTIONS = { [0] = "to the relay", [1] = "to the client" }

------------------------------------------------------------------------------------------------------
-- Opened packets

local opened = Proto("chat.opened", "Chat, opened packet")
local o = {
  direction = ProtoField.uint8("chat.opened.direction", "Direction", base.DEC, DIRECTIONS),
  reason = ProtoField.uint8("chat.opened.reason", "Sent", base.DEC, REASONS),
  number = ProtoField.uint64("chat.opened.number", "Packet number"),
  bytes = ProtoField.uint16("chat.opened.bytes", "Bytes of the datagram"),
  frame = ProtoField.uint8("chat.opened.frame", "Frame", base.DEC, FRAMES),
  largest = ProtoField.uint64("chat.opened.ack.largest", "Largest"),
  delay = ProtoField.uint64("chat.opened.ack.delay", "Delay (µs)"),
  range = ProtoField.string("chat.opened.ack.range", "Packets"),
  stream = ProtoField.uint8("chat.opened.stream", "Stream"),
  offset = ProtoField.uint64("chat.opened.stream.offset", "Offset"),
  length = ProtoField.uint64("chat.opened.stream.length", "Length"),
  data = ProtoField.bytes("chat.opened.stream.data", "Bytes"),
  value = ProtoField.uint64("chat.opened.value", "Value"),
  raw = ProtoField.bytes("chat.opened.raw", "Bytes"),
}
opened.fields = o
local malformed = ProtoExpert.new("chat.opened.malformed", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
opened.experts = { malformed }

-- A variable-length integer of RFC 9000 §16 at `at`: its value, and how many bytes it takes.
local function varint(buffer, at)
  if at >= buffer:len() then return nil end
  local first = buffer(at, 1):uint()
  local bytes = 2 ^ math.floor(first / 64)
  if at + bytes > buffer:len() then return nil end
  local value = UInt64(first % 64)
  for i = 1, bytes - 1 do
    value = value * 256 + buffer(at + i, 1):uint()
  end
  return value, bytes
end

-- An acknowledgement behind its kind: what it says, and how many bytes it takes.
local function ack(buffer, at, tree)
  local begin = at
  local largest, bytes = varint(buffer, at)
  if not largest then return nil end
  tree:add(o.largest, buffer(at, bytes), largest)
  at = at + bytes
  local delay
  delay, bytes = varint(buffer, at)
  if not delay or at + bytes >= buffer:len() then return nil end
  tree:add(o.delay, buffer(at, bytes), delay * 8)
  at = at + bytes
  local count = buffer(at, 1):uint()
  at = at + 1
  local length
  length, bytes = varint(buffer, at)
  if not length then return nil end
  local low = largest - length
  local function range(from, to, part)
    local text = from == to and tostring(from) or (tostring(from) .. "-" .. tostring(to))
    tree:add(o.range, part, text)
    return text
  end
  local ranges = { range(low, largest, buffer(at, bytes)) }
  at = at + bytes
  for _ = 1, count do
    local gap, gap_bytes = varint(buffer, at)
    if not gap then return nil end
    local more, more_bytes = varint(buffer, at + gap_bytes)
    if not more then return nil end
    local high = low - gap - 2
    low = high - more
    ranges[#ranges + 1] = range(low, high, buffer(at, gap_bytes + more_bytes))
    at = at + gap_bytes + more_bytes
  end
  return table.concat(ranges, " "), at - begin
end

-- One frame at `at`: in words, and how many bytes it takes.
local function frame(buffer, at, tree)
  local kind = buffer(at, 1):uint()
  local name = FRAMES[kind]
  if not name then return nil end
  if kind == 0 then
    local padding = at
    while padding < buffer:len() and buffer(padding, 1):uint() == 0 do padding = padding + 1 end
    tree:add(o.frame, buffer(at, padding - at), kind)
    return "padding", padding - at
  end
  local branch = tree:add(o.frame, buffer(at, 1), kind)
  if kind == 1 or kind == 2 or kind == 8 then return name, 1 end
  if kind == 3 then
    local text, bytes = ack(buffer, at + 1, branch)
    if not text then return nil end
    return "ack " .. text, 1 + bytes
  end
  if kind == 4 then
    if at + 2 > buffer:len() then return nil end
    local stream = buffer(at + 1, 1):uint()
    local offset, offset_bytes = varint(buffer, at + 2)
    if not offset then return nil end
    local length, length_bytes = varint(buffer, at + 2 + offset_bytes)
    if not length then return nil end
    local begin = at + 2 + offset_bytes + length_bytes
    local bytes = length:tonumber()
    if begin + bytes > buffer:len() then return nil end
    branch:add(o.stream, buffer(at + 1, 1))
    branch:add(o.offset, buffer(at + 2, offset_bytes), offset)
    branch:add(o.length, buffer(at + 2 + offset_bytes, length_bytes), length)
    branch:add(o.data, buffer(begin, bytes))
    return string.format("stream %d @%s+%d", stream, tostring(offset), bytes), begin + bytes - at
  end
  if kind == 5 or kind == 9 then
    local value, bytes = varint(buffer, at + 1)
    if not value then return nil end
    branch:add(o.value, buffer(at + 1, bytes), value)
    return name .. " " .. tostring(value), 1 + bytes
  end
  local bytes = kind == 10 and 24 or 8
  if at + 1 + bytes > buffer:len() then return nil end
  branch:add(o.raw, buffer(at + 1, bytes))
  return name, 1 + bytes
end

function opened.dissector(buffer, pinfo, root)
  if buffer:len() < 13 or buffer(0, 1):uint() ~= 1 then return 0 end
  pinfo.cols.protocol = "CHAT"
  local tree = root:add(opened, buffer())
  local reason = buffer(2, 1):uint()
  tree:add(o.direction, buffer(1, 1))
  tree:add(o.reason, buffer(2, 1))
  tree:add(o.number, buffer(3, 8))
  tree:add(o.bytes, buffer(11, 2))
  local texts = {}
  local at = 13
  while at < buffer:len() do
    local text, bytes = frame(buffer, at, tree)
    if not text then
      tree:add_proto_expert_info(malformed)
      texts[#texts + 1] = "malformed"
      break
    end
    texts[#texts + 1] = text
    at = at + bytes
  end
  local why = (reason >= 2 and reason <= 5) and (" [" .. REASONS[reason] .. "]") or ""
  pinfo.cols.info = string.format("#%s%s %s", tostring(buffer(3, 8):uint64()), why, table.concat(texts, ", "))
  return buffer:len()
end

------------------------------------------------------------------------------------------------------
-- Packets on the network

local chat = Proto("chat", "Chat")
local c = {
  kind = ProtoField.uint8("chat.kind", "Kind", base.DEC, KINDS),
  connection = ProtoField.bytes("chat.connection", "Connection id"),
  phase = ProtoField.bool("chat.phase", "Key phase", 8, nil, 1),
  number = ProtoField.uint32("chat.number", "Packet number, low half"),
  sealed = ProtoField.bytes("chat.sealed", "Ciphertext"),
  tag = ProtoField.bytes("chat.tag", "Tag"),
  rest = ProtoField.bytes("chat.content", "Content"),
}
chat.fields = c
chat.prefs.port = Pref.uint("Port of the relay", 4545, "Which of the two sends is told by its port")

-- Where a sealed packet begins with a connection id: it goes to the relay.
local function is_to_relay(pinfo)
  local port = chat.prefs.port
  if pinfo.dst_port == port or pinfo.src_port == port then return pinfo.dst_port == port end
  -- As a rule relays listen below the ports that systems give to clients.
  return pinfo.dst_port < pinfo.src_port
end

function chat.dissector(buffer, pinfo, root)
  if buffer:len() < 1 then return 0 end
  local kind = buffer(0, 1):uint()
  local name = KINDS[kind]
  if not name then return 0 end
  pinfo.cols.protocol = "CHAT"
  local tree = root:add(chat, buffer())
  tree:add(c.kind, buffer(0, 1))
  local info = name
  if kind == 6 then
    local at = 1
    if is_to_relay(pinfo) then
      if buffer:len() < 30 then return 0 end
      tree:add(c.connection, buffer(at, 8))
      at = at + 8
    elseif buffer:len() < 22 then
      return 0
    end
    tree:add(c.phase, buffer(at, 1))
    tree:add(c.number, buffer(at + 1, 4))
    info = string.format("%s #%d", name, buffer(at + 1, 4):uint())
    at = at + 5
    if buffer:len() - 16 > at then tree:add(c.sealed, buffer(at, buffer:len() - 16 - at)) end
    tree:add(c.tag, buffer(buffer:len() - 16, 16))
  elseif buffer:len() > 1 then
    tree:add(c.rest, buffer(1))
  end
  pinfo.cols.info = string.format("%s, %d bytes", info, buffer:len())
  return buffer:len()
end

DissectorTable.get("udp.port"):add(4545, chat)
