-- The test page, with lua-wsapi-fcgi.
local fastcgi = require "wsapi.fastcgi"

local function answer(status, ...)
   local parts, headers = { ... }, { ["Content-Type"] = "text/plain" }
   return status, headers, coroutine.wrap(function()
      for _, part in ipairs(parts) do coroutine.yield(part) end
   end)
end

fastcgi.run(function(env)
   local what = env.QUERY_STRING:match("^[^&]*")
   if what == "status" then return answer("418 Teapot", "short and stout\n") end
   if what == "304" then return "304 Not Modified", { ETag = '"x"' }, coroutine.wrap(function() end) end
   if what == "stderr" then
      env.error:write("a line for the log\n")
      return answer(200, "logged\n")
   end
   if what == "large" then return answer(200, string.rep("x", 3000000)) end
   if what == "nothing" then return answer(200) end
   if what == "body" then return answer(200, env.input:read(tonumber(env.CONTENT_LENGTH) or 0) or "") end
   if what == "ignore" then return answer(200, "ignored\n") end
   local lines = {}
   for _, name in ipairs { "REQUEST_METHOD", "QUERY_STRING", "CONTENT_LENGTH", "CONTENT_TYPE", "SCRIPT_NAME",
      "DOCUMENT_URI", "SERVER_PROTOCOL", "HTTP_X_TEST", "HTTP_COOKIE" } do
      lines[#lines + 1] = name .. "=" .. (env[name] or "") .. "\n"
   end
   return answer(200, table.concat(lines))
end)
