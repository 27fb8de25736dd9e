# Delegates to cmake-js, so that whoever calls node-gyp gets the same build as `npm run setup`.
{
  "targets": [
    {
      "target_name": "voxgrad",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake-js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/voxgrad.node"],
          "action": ["node", "scripts/setup.mjs"]
        }
      ]
    }
  ]
}
