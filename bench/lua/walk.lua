-- Each path of a file once, then stop. Time runs from the first request to the last answer.
dofile(os.getenv("BENCH_LUA") .. "/summary.lua")
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long us; } timeval; int gettimeofday(timeval *, void *);")
local clock = ffi.new("timeval")

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.s) + tonumber(clock.us) / 1e6
end

local requests, asked, began = {}, 0, nil
walked, walk_seconds, misses = 0, 0, 0

function init(_)
  for path in io.lines(os.getenv("BENCH_PATHS")) do
    table.insert(requests, wrk.format("GET", path))
  end
end

function request()
  began = began or now()
  asked = asked + 1
  return requests[(asked - 1) % #requests + 1]
end

function response(status, headers, _)
  if walked >= #requests then
    return
  end
  walked = walked + 1
  if status >= 400 then
    count(status)
  end
  if headers["x-cache"] == "MISS" or headers["X-Cache"] == "MISS" then
    misses = misses + 1
  end
  walk_seconds = now() - began
  if walked == #requests then
    wrk.thread:stop()
  end
end
